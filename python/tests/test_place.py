"""Who a process is, and whether a loader used the sampler: refused, not guessed."""

import itertools
import os
import sys
import types
import warnings

import support
from support import BATCH, END, FIRST, ROWS, SamplerCase

import curriculum_client as curriculum
from test_samplers import RunAhead


class Distributed(types.ModuleType):
    """What the client may know of `torch.distributed`, which it does not import itself."""

    def __init__(self, ranks):
        super().__init__("torch.distributed")
        self.ranks = ranks

    def is_available(self):
        return True

    def is_initialized(self):
        return self.ranks is not None

    def get_rank(self, group=None):
        return self.ranks[group][0]

    def get_world_size(self, group=None):
        return self.ranks[group][1]


class Divided:
    """A loader that a framework divides among two processes once more."""

    def __init__(self, batches, workers, factor):
        self.batches, self.num_workers, self.prefetch_factor = batches, workers, factor

    def __iter__(self):
        return itertools.islice(iter(self.batches), 0, None, 2)


class Places(SamplerCase):
    def setUp(self):
        super().setUp()
        self.sampler = self.start()
        os.environ["CURRICULUM_SAMPLER"] = self.sampler.url
        self.addCleanup(sys.modules.pop, "torch.distributed", None)

    def place(self, **options):
        sampler = curriculum.open_sampler(**options)
        return sampler.rank, sampler.world_size

    def test_half_an_environment_is_refused(self):
        for known, missing in (("WORLD_SIZE", "RANK"), ("RANK", "WORLD_SIZE")):
            os.environ.update({known: "2", missing: ""})
            with self.assertRaisesRegex(curriculum.CurriculumError, f"{known} is 2 but {missing} is not set: .*torchrun"):
                curriculum.open_sampler()
            del os.environ[missing]
            with self.assertRaisesRegex(curriculum.CurriculumError, f"{known} is 2 but {missing} is not set"):
                curriculum.open_sampler()
            self.assertEqual(self.place(rank=1, world_size=3), (1, 3), "who says both is asked nothing")
            del os.environ[known]
        os.environ["WORLD_SIZE"] = "1"
        self.assertEqual(self.place(), (0, 1), "one process needs no number")
        with self.assertRaisesRegex(curriculum.CurriculumError, "`rank` is 3; expected 0 to 2"):
            curriculum.open_sampler(rank=3, world_size=3)

    def test_torch_distributed_must_agree_whenever_it_comes(self):
        torch = sys.modules["torch.distributed"] = Distributed(None)
        early = curriculum.open_sampler()
        torch.ranks = {None: (1, 2), "data": (0, 1)}
        message = "rank 1 of 2 in torch.distributed, but would ask as rank 0 of 1"
        with self.assertRaisesRegex(curriculum.CurriculumError, message):
            curriculum.open_sampler()
        with self.assertRaisesRegex(curriculum.CurriculumError, message):
            next(iter(early))
        with self.assertRaisesRegex(curriculum.CurriculumError, "rank 1 of 2 in torch.distributed, but would ask as rank 0 of 2"):
            curriculum.open_sampler(rank=0, world_size=2)
        os.environ.update(RANK="1", WORLD_SIZE="2")
        self.assertEqual(self.place(), (1, 2))
        self.assertEqual(self.place(group="data"), (0, 1))
        self.assertEqual(self.place(group=False, rank=0, world_size=1), (0, 1))
        torch.ranks = None
        with self.assertRaisesRegex(curriculum.CurriculumError, "`group` is given, but torch.distributed is not initialised"):
            curriculum.open_sampler(group="data")

    def test_two_processes_with_one_name_are_told(self):
        first, second = curriculum.open_sampler(prefetch=4), curriculum.open_sampler(prefetch=4)
        theirs = iter(first)
        next(theirs)
        self.assertEqual(len(list(second)), END - FIRST)
        with self.assertRaisesRegex(curriculum.SessionRefused, "two processes claim rank 0 of world 1: .* RANK and WORLD_SIZE"):
            list(theirs)
        result = self.sampler.result()
        self.assertEqual(result["servedStep"], FIRST)
        self.assertIn("two processes claim rank 0 of world 1", result["trainerFault"])

    def test_a_forked_child_is_another_process(self):
        batches = curriculum.open_sampler(prefetch=4)
        next(iter(batches))
        child = os.fork()
        if child == 0:
            ended = 1
            try:
                next(iter(batches))
                ended = 0
            finally:
                os._exit(ended)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        with self.assertRaisesRegex(curriculum.SessionRefused, "two processes claim rank 0"):
            list(batches)

    def test_rows_are_compared_and_shares_that_differ_are_told(self):
        self.assertEqual(len(curriculum.open_sampler(dataset=range(ROWS))), END - FIRST)
        for options in ({"rows": ROWS - 1}, {"dataset": range(ROWS - 1)}):
            with self.assertRaisesRegex(curriculum.CurriculumError, "the data set has 499 rows, but the curriculum was planned for 500"):
                curriculum.open_sampler(**options)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            sizes = [curriculum.open_sampler(rank=rank, world_size=5).batch_size for rank in range(5)]
            curriculum.open_sampler(rank=0, world_size=4)
        self.assertEqual(sizes, [2, 2, 3, 2, 3])
        self.assertEqual(len(caught), 5)
        self.assertRegex(str(caught[0].message), "12 rows, which 5 processes cannot share evenly: some get 2, others 3")


class Loaders(SamplerCase):
    """Whether what a loader gave came from the sampler."""

    def setUp(self):
        super().setUp()
        self.sampler = self.start()
        self.client = curriculum.Sampler(self.sampler.url)

    def batches(self, **options):
        return curriculum.BatchSampler(client=self.client, **options)

    def test_a_loader_that_never_asked_is_refused_at_its_first_item(self):
        batches = self.batches()
        seen = []
        with self.assertRaisesRegex(curriculum.SamplerNotUsed, "step 100 that it did not ask .* batch_sampler=sampler"):
            for item in batches.track(range(100)):
                seen.append(item)
        self.assertEqual((seen, batches.step), ([], FIRST))
        self.assertEqual(self.sampler.result()["servedStep"], FIRST)

    def test_a_loader_that_gives_less_than_it_asked_for_is_refused_at_its_end(self):
        for every, first in ((2, 0), (2, 1), (END, 0)):
            batches = self.batches()
            with self.assertRaisesRegex(curriculum.SamplerNotUsed, "asked the curriculum's sampler for .* more items than it gave"):
                # As a wrapper does that divides batches among processes once more.
                for _ in batches.track(itertools.islice(batches, first, None, every)):
                    pass
        self.assertLess(self.sampler.result()["servedStep"], END)

    def test_a_loader_that_holds_more_than_its_workers_can_is_refused_long_before_its_end(self):
        for workers, factor, held in ((0, None, 2), (1, 4, 6), (2, 2, 6)):
            batches = self.batches()
            with self.assertRaisesRegex(curriculum.SamplerNotUsed, f"asked the curriculum's sampler for {held + 1} more items"):
                list(batches.track(Divided(batches, workers, factor)))
            self.assertEqual(batches.step, FIRST + held + 2)
        self.assertLess(self.sampler.result()["servedStep"], END)

    def test_a_framework_that_is_about_to_divide_the_batches_is_told(self):
        with self.assertRaisesRegex(curriculum.SamplerNotUsed, "about to divide or rebuild .* CurriculumLoader"):
            getattr(self.batches(), "drop_last", False)

    def test_a_loader_that_gives_more_than_it_asked_for_is_refused(self):
        batches = self.batches()
        twice = (item for item in batches for _ in range(2))
        with self.assertRaisesRegex(curriculum.SamplerNotUsed, "step 101 that it did not ask"):
            list(batches.track(twice))

    def test_a_loop_that_is_left_is_no_misuse(self):
        batches = self.batches()
        for _ in batches.track(RunAhead(batches, 8)):
            if batches.step == FIRST + 5:
                break
        self.assertEqual(len(list(batches.track(RunAhead(batches, 8)))), END - FIRST - 5)
        self.assertEqual(self.sampler.result()["servedStep"], END)

    def test_micro_batches_make_up_the_batch_and_the_step_counts_whole_ones(self):
        whole = list(self.batches())
        for rank, micro in ((0, 4), (1, 4), (1, 6), (0, 1)):
            place = {"rank": rank, "world_size": 2}
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                batches = self.batches(micro_batches=micro, **place)
            told = [str(warning.message) for warning in caught]
            self.assertEqual(len(told), 1 if 6 % micro else 0)
            self.assertTrue(all("6 rows of each batch, which cannot be cut into 4 equal" in message for message in told), told)
            self.assertEqual((len(batches), batches.batch_size), (micro * (END - FIRST), -(-6 // micro)))
            taken, steps = [], []
            for item in batches.track(RunAhead(batches, 3)):
                taken.append(item)
                steps.append(batches.step)
            self.assertEqual(steps[: 2 * micro], [FIRST + (i + 1) // micro for i in range(2 * micro)])
            parts = [taken[i : i + micro] for i in range(0, len(taken), micro)]
            joined = [[int(row[4:]) for part in parts_of_one for row in part] for parts_of_one in parts]
            self.assertEqual(joined, [rows[6 * rank : 6 * rank + 6] for rows in whole])

    def test_the_last_micro_batch_counts_only_when_it_came_out(self):
        batches = self.batches(micro_batches=3)
        for item, _ in zip(batches.track(RunAhead(batches, 500)), range(3 * (END - FIRST) - 2)):
            pass
        self.assertEqual(batches.step, END - 1)
        self.assertEqual(self.sampler.result()["servedStep"], END - 1)

    def test_a_framework_that_owns_the_loop_counts_by_hand(self):
        batches = self.batches(micro_batches=2)
        batches.start_tracking()
        for done, _ in enumerate(RunAhead(batches, 8), 1):
            batches.advance()
            self.assertEqual(batches.step, FIRST + done // 2)
        batches.check_used()
        batches.stop_tracking()
        self.assertEqual(self.sampler.result()["servedStep"], END)

    def test_a_state_that_is_loaded_ends_iterations_of_before(self):
        batches = self.batches(prefetch=2)
        running = iter(batches)
        next(running)
        batches.load_state_dict({**batches.state_dict(), "step": FIRST + 10})
        self.assertEqual(len(list(batches)), END - FIRST - 10)
        with self.assertRaisesRegex(curriculum.CurriculumError, "another position was loaded during this iteration"):
            list(running)
        self.assertEqual(self.sampler.result()["servedStep"], END)


if __name__ == "__main__":
    import unittest

    unittest.main()
