"""DeepSpeed: its own curriculum data sampler, on one process and the CPU.

The curriculum grows from 20 % to 60 % of the rows by percentile of difficulty, one percentile every thousand steps.
"""

import logging
import tempfile

from worker import Contender, serve  # isort: skip - before what prints

import numpy as np
import torch

from deepspeed.runtime.data_pipeline.data_sampling import data_sampler
from deepspeed.runtime.data_pipeline.data_sampling.utils import close_mmap_dataset_builder, create_mmap_dataset_builder
from deepspeed.utils import logger

BATCH = 1024
STEPS_PER_CHANGE = 1000

torch.set_num_threads(1)
logger.setLevel(logging.WARNING)


class OneProcess:
    """The group of one process: nobody to wait for, nobody to tell."""

    @staticmethod
    def size():
        return 1

    @staticmethod
    def barrier(group):
        pass

    @staticmethod
    def broadcast(batch, source, group):
        pass


data_sampler.dist = OneProcess


class Batches(Contender):
    """Global batches of 1,024 rows."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory()

    def prepare(self, rows):
        folder = tempfile.mkdtemp(dir=self._folder.name)
        order = np.random.default_rng(1).permutation(rows).astype(np.uint32)
        index = f"{folder}/index_to_sample_percentile_merged"
        builder = create_mmap_dataset_builder(index, np.uint32)
        for percentile in np.array_split(order, 100):
            builder.add_item_numpy(percentile)
        close_mmap_dataset_builder(builder, index)
        metric = {
            "index_to_sample_path": index,
            "index_to_metric_path": index,
            "difficulty_type": "percentile",
            "clustering_type": "schedule_based",
            "min_difficulty": 20,
            "max_difficulty": 60,
            "schedule_type": "fixed_linear",
            "schedule_config": {"total_curriculum_step": 40 * STEPS_PER_CHANGE, "difficulty_step": 1},
        }
        curriculum = {"enabled": True, "data_cluster_path": f"{folder}/clusters", "curriculum_metrics": {"d": metric}}
        config = {"seed": 1234, "data_sampling": {"num_epochs": 1000, "curriculum_learning": curriculum}}
        self._sampler = data_sampler.DeepSpeedDataSampler(config, rows, BATCH, 0, 1, OneProcess, 1, 0)
        self._batches = iter(self._sampler)

    def draw(self, batches):
        return sum(len(next(self._batches)) for _ in range(batches))


serve(Batches)
