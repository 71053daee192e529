"""torchdata's StatefulDataLoader: docs/frameworks/torchdata.md, and states that are taken while workers are ahead."""

import itertools
import json
import os
import unittest

from pages import BATCH, CHECKPOINT_EVERY, PHASES, FrameworkCase, code, steps_of
from support import SamplerCase
from torch.utils.data import Dataset
from torchdata.stateful_dataloader import StatefulDataLoader

import curriculum_client as curriculum
from curriculum_client.torchdata import CurriculumLoader

PROJECT = """
import os
import small_model
from small_model import Model

class Rows(small_model.Rows):
    "Its state is the number of rows that it was asked for."

    served = 0

    def __getitem__(self, row):
        with open(os.path.join(os.environ["TRAINED"], "served-" + os.environ["RANK"]), "a") as file:
            print(self.served, file=file)
        self.served += 1
        return super().__getitem__(row)

    def state_dict(self):
        return {"served": self.served}

    def load_state_dict(self, state):
        self.served = state["served"]

dataset = Rows()
"""

PLAIN = """
import curriculum_client
from torchdata.stateful_dataloader import StatefulDataLoader
from project import dataset

sampler = curriculum_client.open_sampler()
for item in sampler.track(StatefulDataLoader(dataset, batch_size=4, shuffle=True, num_workers=1)):
    pass
"""


class Two(FrameworkCase):
    PROJECT = PROJECT

    def test_the_page_trains_the_curriculum_over_two_phases(self):
        self.assert_two_phases_with_a_crash(code("torchdata.md"), micro=1)
        share = BATCH // self.PROCESSES
        for attempt, step in ((0, 0), (1, CHECKPOINT_EVERY), (2, steps_of(1)[0])):
            for rank in range(self.PROCESSES):
                served = (self.folder / f"attempt-{attempt}" / f"served-{rank}").read_text().split()
                self.assertEqual(int(served[0]), step * share, "the data set goes on where the checkpoint was")

    def test_a_loader_without_the_sampler_is_refused(self):
        self.assert_refused(PLAIN, "SamplerNotUsed: .* step 0 that it did not ask .* CurriculumLoader")


class Counting(Dataset):
    """Item i is i, and the number of items before it; its state is that number."""

    def __init__(self):
        self.served = 0

    def __len__(self):
        return 500

    def __getitem__(self, row):
        self.served += 1
        return row, self.served

    def state_dict(self):
        return {"served": self.served}

    def load_state_dict(self, state):
        self.served = state["served"]


class States(SamplerCase):
    def setUp(self):
        super().setUp()
        self.client = curriculum.Sampler(self.start().url)
        self.whole = [rows for rows in curriculum.BatchSampler(client=self.client)]

    def batches(self, **options):
        return curriculum.BatchSampler(client=self.client, **options)

    def test_a_loader_of_ones_own_keeps_the_position_of_what_came_out(self):
        for workers, done, tracked in itertools.product((0, 2), (1, 7, 49), (True, False)):
            with self.subTest(workers=workers, done=done, tracked=tracked):
                first = self.batches()
                loader = StatefulDataLoader(range(500), batch_sampler=first, num_workers=workers)
                items = iter(first.track(loader) if tracked else loader)
                head = [next(items).tolist() for _ in range(done)]
                state = json.loads(json.dumps(loader.state_dict()))
                second = self.batches()
                loader = StatefulDataLoader(range(500), batch_sampler=second, num_workers=workers)
                loader.load_state_dict(state)
                rest = [item.tolist() for item in (second.track(loader) if tracked else loader)]
                self.assertEqual(head + rest, self.whole)
                self.assertEqual(second.step, second.end_step)

    def test_micro_batches_go_on_with_a_whole_batch(self):
        loader = CurriculumLoader(Counting(), sampler=self.batches(micro_batches=3), num_workers=2)
        items = iter(loader)
        for _ in range(3 * 7):
            next(items)
        state = loader.state_dict()
        next(items)
        self.assertEqual(loader.state_dict()["sampler"], state["sampler"])
        again = CurriculumLoader(Counting(), sampler=self.batches(micro_batches=3), num_workers=2)
        again.load_state_dict(state)
        rows, served = next(iter(again))
        self.assertEqual((rows.tolist(), served[0].item()), (self.whole[7][:4], 4 * 10 + 1), "the other worker served the 11 others")

    def test_a_state_of_other_workers_is_refused(self):
        state = CurriculumLoader(Counting(), sampler=self.batches(), num_workers=0).state_dict()
        with self.assertRaisesRegex(curriculum.CurriculumError, "the state is of 0 workers, .* but `num_workers` is 1"):
            CurriculumLoader(Counting(), sampler=self.batches(), num_workers=1).load_state_dict(state)
        with self.assertRaisesRegex(curriculum.CurriculumError, "`snapshot_every_n_steps` is not 1"):
            CurriculumLoader(Counting(), sampler=self.batches(), snapshot_every_n_steps=2)


if __name__ == "__main__":
    unittest.main()
