"""The client in a real PyTorch DataLoader: worker processes, prefetching, and a state that is taken in the middle."""

import itertools
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import torch
from support import END, FIRST, ROWS, SamplerCase, attempt, in_tokens
from torch.utils.data import DataLoader, Dataset, IterableDataset

import curriculum_client as curriculum

STEPS = END - FIRST
# Workers, batches that each prepares ahead, whether they outlive an epoch.
LOADERS = [
    {"num_workers": 0},
    {"num_workers": 1, "prefetch_factor": 2},
    {"num_workers": 2, "prefetch_factor": 5},
    {"num_workers": 2, "prefetch_factor": 2, "persistent_workers": True},
    # Everything is asked for before the first batch comes out.
    {"num_workers": 2, "prefetch_factor": STEPS},
]


class Rows(Dataset):
    """Item i is i."""

    def __len__(self):
        return ROWS

    def __getitem__(self, row):
        return row


class Table(Dataset):
    """A tensor that is indexed by whole batches."""

    def __init__(self):
        self.rows = torch.arange(ROWS)

    def __getitem__(self, batch):
        return self.rows[batch]


class InWorkers(IterableDataset):
    """The sampler goes along with the data set: worker w of n is rank w of n."""

    def __init__(self, client):
        self.client = client

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        for rows in curriculum.BatchSampler(client=self.client, rank=worker.id, world_size=worker.num_workers):
            yield torch.tensor(rows)


def taken(items):
    return [item.tolist() for item in items]


class InADataLoader(SamplerCase):
    WHAT = staticmethod(attempt)

    def setUp(self):
        super().setUp()
        self.sampler = self.start(self.WHAT())
        self.client = curriculum.Sampler(self.sampler.url)
        # Looked at, so that the sampler's count is that of the loaders.
        data = self.client.fetch(FIRST, STEPS, peek=True)[1]
        slots = memoryview(data).cast("Q").tolist()
        size = len(slots) // STEPS
        batches = (slots[i : i + size] for i in range(0, len(slots), size))
        self.whole = [[row for row in batch if row != 2**64 - 1] for batch in batches]

    def batches(self, **options):
        return curriculum.BatchSampler(client=self.client, **options)

    def test_a_loader_gives_exactly_the_batches_of_the_sampler(self):
        for options in LOADERS:
            with self.subTest(**options):
                batches = self.batches()
                loader = DataLoader(Rows(), batch_sampler=batches, **options)
                self.assertEqual(len(loader), STEPS)
                self.assertEqual(taken(batches.track(loader)), self.whole)
                self.assertEqual((batches.step, len(loader), taken(batches.track(loader))), (END, 0, []))
        self.assertEqual(self.sampler.result()["servedStep"], END)

    def test_the_state_is_about_the_batch_that_came_out(self):
        for options in LOADERS:
            with self.subTest(**options):
                batches = self.batches()
                loader = DataLoader(Rows(), batch_sampler=batches, **options)
                steps = [batches.state_dict()["step"] for _ in batches.track(loader)]
                self.assertEqual(steps, list(range(FIRST + 1, END + 1)))

    def test_a_state_from_the_middle_goes_on_with_any_number_of_workers(self):
        for (before, after), done in zip(itertools.product(LOADERS, LOADERS), itertools.cycle((1, 7, 20, STEPS - 1))):
            with self.subTest(before=before, after=after, done=done):
                first = self.batches()
                loader = DataLoader(Rows(), batch_sampler=first, **before)
                head = taken(itertools.islice(first.track(loader), done))
                state = json.loads(json.dumps(first.state_dict()))
                second = self.batches()
                second.load_state_dict(state)
                loader = DataLoader(Rows(), batch_sampler=second, **after)
                self.assertEqual(len(loader), STEPS - done)
                self.assertEqual(head + taken(second.track(loader)), self.whole)

    def test_the_same_loader_goes_on_after_a_loop_that_was_left_and_after_a_state_was_loaded(self):
        for options in LOADERS:
            with self.subTest(**options):
                batches = self.batches()
                loader = DataLoader(Rows(), batch_sampler=batches, **options)
                head = taken(itertools.islice(batches.track(loader), 9))
                state = batches.state_dict()
                self.assertEqual(head + taken(batches.track(loader)), self.whole)
                batches.load_state_dict(state)
                self.assertEqual(taken(batches.track(loader)), self.whole[9:])

    def test_batches_fetched_ahead_are_not_those_trained_on(self):
        for options in LOADERS:
            for steps in (1, STEPS - 1):
                with self.subTest(steps=steps, **options):
                    sampler = self.start()
                    batches = curriculum.BatchSampler(client=curriculum.Sampler(sampler.url))
                    loader = DataLoader(Rows(), batch_sampler=batches, **options)
                    self.assertEqual(len(taken(itertools.islice(batches.track(loader), steps))), steps)
                    self.assertLess(sampler.result()["servedStep"], END)

    def test_ranks_share_each_batch(self):
        for options in LOADERS:
            with self.subTest(**options):
                ranks = [self.batches(rank=rank, world_size=3) for rank in range(3)]
                loaders = [DataLoader(Rows(), batch_sampler=rank, **options) for rank in ranks]
                parts = zip(*(taken(rank.track(loader)) for rank, loader in zip(ranks, loaders)))
                self.assertEqual([sum(part, []) for part in parts], self.whole)

    def test_whole_batches_index_a_tensor(self):
        for output in ("list", "numpy"):
            for options in LOADERS[:3]:
                with self.subTest(output=output, **options):
                    batches = self.batches(output=output)
                    loader = DataLoader(Table(), sampler=batches, batch_size=None, **options)
                    self.assertEqual(taken(batches.track(loader)), self.whole)

    def test_an_array_becomes_a_tensor(self):
        tensors = [torch.from_numpy(rows) for rows in self.batches(output="numpy")]
        self.assertEqual(([t.dtype for t in tensors[:1]], taken(tensors)), ([torch.int64], self.whole))

    def test_a_sampler_may_live_in_the_workers(self):
        for start in ("fork", "spawn"):
            with self.subTest(start=start):
                self.client.plan()  # A connection that is open must not be shared.
                loader = DataLoader(InWorkers(self.client), batch_size=None, num_workers=2, multiprocessing_context=start)
                parts = taken(loader)
                # Workers take turns.
                self.assertEqual([parts[i] + parts[i + 1] for i in range(0, len(parts), 2)], self.whole)
                self.assertEqual(self.client.plan()["startStep"], FIRST)


class InADataLoaderWithATokenBudget(InADataLoader):
    """The same with batches of different sizes."""

    WHAT = staticmethod(in_tokens)

    def test_batches_differ_in_size(self):
        self.assertGreater(len({len(batch) for batch in self.whole}), 3)




class InADataLoaderOfAPhaseThatEndsEarly(SamplerCase):
    def test_every_loader_ends_where_it_was_decided_and_nothing_is_trained_that_does_not_count(self):
        whole = list(curriculum.BatchSampler(client=curriculum.Sampler(self.start().url)))
        what = attempt()
        what["curriculum"]["phases"][1]["advance"] = {"allOf": [{"metric": "val", "atLeast": "0.9"}]}
        for options in LOADERS:
            with self.subTest(**options):
                sampler = self.start(what)
                batches = curriculum.BatchSampler(client=curriculum.Sampler(sampler.url), prefetch=4)
                rows = []
                for item in batches.track(DataLoader(Rows(), batch_sampler=batches, **options)):
                    rows.append(item.tolist())
                    if len(rows) == 5:
                        batches.report(batches.step, {"val": 0.95})
                self.assertEqual(rows, whole[: len(rows)])
                result = sampler.result()
                self.assertEqual((result["servedStep"], result["decision"]["step"]), (FIRST + len(rows),) * 2)
                # A loader that asks for everything at once has it all.
                ahead = options["num_workers"] * options.get("prefetch_factor", 0)
                self.assertLessEqual(len(rows), min(STEPS, 5 + ahead + 4 + 1))


if __name__ == "__main__":
    import unittest

    unittest.main()
