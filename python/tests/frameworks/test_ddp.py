"""DistributedDataParallel: docs/frameworks/ddp.md, and processes that do not know who they are."""

import unittest

from pages import FrameworkCase, code, steps_of

SPAWNED = """
import os
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader
import curriculum_client
from curriculum_client.pytorch import CurriculumLoader
from project import Model, dataset

def work(rank):
    dist.init_process_group("gloo", rank=rank, world_size=2)
    model = Model()
    {body}
    for inputs, labels in loader:
        model(inputs, labels)

torch.multiprocessing.start_processes(work, nprocs=2, start_method="fork")
"""

DISTRIBUTED = """
import curriculum_client
import torch.distributed as dist
from torch.utils.data import DataLoader, DistributedSampler
from project import dataset

dist.init_process_group("gloo")
sampler = curriculum_client.open_sampler()
for item in sampler.track(DataLoader(dataset, batch_size=4, sampler=DistributedSampler(dataset))):
    pass
"""


class Torchrun(FrameworkCase):
    def test_the_page_trains_the_curriculum_over_two_phases(self):
        self.assert_two_phases_with_a_crash(code("ddp.md"), micro=2)

    def test_the_page_trains_from_a_rows_file(self):
        attempt = self.attempt(code("ddp.md"), rows_file=True)
        self.assertEqual((attempt.codes, attempt.result["servedStep"]), ([0, 0], steps_of(0)[1]), attempt.output)
        self.assert_trained(attempt, 0, 2 * steps_of(0)[1], micro=2)

    def test_a_loader_with_a_distributed_sampler_is_refused(self):
        self.assert_refused(DISTRIBUTED, "SamplerNotUsed: .* step 0 that it did not ask .* CurriculumLoader")


class Spawned(FrameworkCase):
    def launched(self):
        return 1

    def test_processes_that_were_spawned_are_ranks_of_torch_distributed(self):
        attempt = self.attempt(SPAWNED.format(body="loader = CurriculumLoader(dataset)"))
        self.assertEqual(attempt.codes, [0], attempt.output)
        self.assert_trained(attempt, 0, steps_of(0)[1], micro=1)
        self.assertEqual(attempt.result["servedStep"], steps_of(0)[1])

    def test_a_sampler_without_a_rank_is_refused(self):
        body = "loader = DataLoader(dataset, batch_sampler=curriculum_client.open_sampler())"
        self.assert_refused(SPAWNED.format(body=body), r"would ask as rank 0 of 1: .* `group=torch.distributed.group.WORLD`")


if __name__ == "__main__":
    unittest.main()
