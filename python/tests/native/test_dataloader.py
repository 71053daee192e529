"""The engine in a real PyTorch DataLoader: workers, copies of plans in them, and a state in the middle."""

import itertools
import json
import os
import pathlib
import sys
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import numpy
import support
import torch
from support import BATCH, END, FIRST, ROWS, SamplerCase
from torch.utils.data import DataLoader, Dataset, IterableDataset

import curriculum
import curriculum.pytorch

STEPS = END - FIRST
LOADERS = [
    {"num_workers": 0},
    {"num_workers": 2, "prefetch_factor": 5},
    {"num_workers": 2, "persistent_workers": True, "multiprocessing_context": "spawn"},
]


class Rows(Dataset):
    """Item i is i."""

    def __len__(self):
        return ROWS

    def __getitem__(self, row):
        return row


class InWorkers(IterableDataset):
    """The plan goes along with the data set, into each worker: worker w of n is rank w of n."""

    def __init__(self, plan):
        self.plan = plan

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        for rows in curriculum.BatchSampler(self.plan, rank=worker.id, world_size=worker.num_workers, output="numpy"):
            yield torch.from_numpy(rows)


class InADataLoader(SamplerCase):
    def setUp(self):
        super().setUp()
        self.what = what = {**support.attempt(), "groups": 4}
        what["curriculum"]["phases"][1].update(pool={"fraction": "0.5"}, replay="0.2")
        what["curriculum"].update(balance="Group")
        support.write_plan(self.folder, what)
        self.plan = curriculum.Plan(self.folder / "plan.json", self.folder / "store")
        self.whole = [self.plan.batch(step).tolist() for step in range(FIRST, END)]

    def test_a_loader_gives_exactly_the_batches_of_the_plan(self):
        for options in LOADERS:
            with self.subTest(**options):
                sampler = curriculum.BatchSampler(self.plan, dataset=Rows())
                loader = DataLoader(Rows(), batch_sampler=sampler, **options)
                self.assertEqual(len(loader), STEPS)
                self.assertEqual([batch.tolist() for batch in sampler.track(loader)], self.whole)
                self.assertEqual(sampler.step, END)

    def test_training_goes_on_where_it_was_whatever_workers_took_ahead(self):
        for options in LOADERS:
            with self.subTest(**options):
                loader = curriculum.pytorch.CurriculumLoader(Rows(), sampler=curriculum.BatchSampler(self.plan), **options)
                begun = [batch.tolist() for batch in itertools.islice(loader, 9)]
                state = loader.state_dict()
                self.assertEqual(state["step"], FIRST + 9)
                again = curriculum.pytorch.CurriculumLoader(Rows(), sampler=curriculum.BatchSampler(self.plan), **options)
                again.load_state_dict(state)
                self.assertEqual(begun + [batch.tolist() for batch in again], self.whole)

    def test_workers_draw_their_own_parts(self):
        for context in ("fork", "spawn"):
            loader = DataLoader(InWorkers(self.plan), batch_size=None, num_workers=2, multiprocessing_context=context)
            parts = [part.tolist() for part in loader]
            self.assertEqual([parts[i] + parts[i + 1] for i in range(0, len(parts), 2)], self.whole)

    def test_the_program_of_the_guide_runs_as_it_is_printed(self):
        guide = (pathlib.Path(__file__).parents[3] / "docs/trainers.md").read_text()
        program = next(block for block in guide.split("```python\n")[1:] if block.startswith("import curriculum\n"))
        (self.folder / "store/index/example/index.arrow").rename(self.folder / "index.arrow")
        (self.folder / "job.yaml").write_text(json.dumps({"seed": self.what["seed"], "curriculum": self.what["curriculum"]}))
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        os.chdir(self.folder)
        seen = {"DataLoader": DataLoader, "dataset": [(row, 0) for row in range(ROWS)], "step": FIRST}
        exec(program.split("```")[0], seen)
        self.assertEqual((seen["plan"].end_step, seen["sampler"].step), (END, END))
        self.assertEqual(seen["inputs"].tolist(), self.whole[-1])

    def test_tensors_and_arrays_take_rows_without_a_copy(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            rows = self.plan.batch(FIRST)
            tensor = torch.frombuffer(rows, dtype=torch.int64)
            array = numpy.frombuffer(rows, numpy.int64)
            self.assertEqual(numpy.asarray(rows).dtype, numpy.uint64)
        self.assertEqual((tensor.tolist(), array.tolist()), (self.whole[0], self.whole[0]))
        rows[0] = 3
        self.assertEqual((tensor[0].item(), array[0], len(rows)), (3, 3, BATCH))
