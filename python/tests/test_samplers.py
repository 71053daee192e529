"""The client against the real sampler."""

import itertools
import json
import os
import pathlib
import random
import signal
import warnings

import support
from support import BATCH, END, FIRST, ROWS, SamplerCase

import curriculum_client as curriculum


class RunAhead:
    """What a DataLoader with workers does: asks for batches long before it gives them out, first of all in `iter`."""

    def __init__(self, batch_sampler, ahead):
        self.batch_sampler, self.ahead = batch_sampler, ahead

    def __iter__(self):
        indices = iter(self.batch_sampler)
        queue = list(itertools.islice(indices, self.ahead))

        def items():
            while queue:
                queue.extend(itertools.islice(indices, 1))
                yield [f"row {row}" for row in queue.pop(0)]

        return items()


class Http(SamplerCase):
    def client(self, sampler, **options):
        return curriculum.Sampler(sampler.url, **options)

    def test_batches_are_lists_of_rows_and_the_attempt_is_complete(self):
        sampler = self.start()
        batches = curriculum.BatchSampler(client=self.client(sampler))
        self.assertEqual((batches.step, len(batches), batches.batch_size), (FIRST, END - FIRST, BATCH))
        taken = list(batches)
        self.assertEqual([len(rows) for rows in taken], [BATCH] * (END - FIRST))
        self.assertTrue(all(type(row) is int and 0 <= row < ROWS for rows in taken for row in rows))
        self.assertEqual(len({row for rows in taken for row in rows}), ROWS, "600 draws, each pass shows every row once")
        self.assertEqual((batches.step, len(batches), list(batches)), (END, 0, []))
        self.assertEqual(sampler.result()["servedStep"], END)

    def test_a_small_trainer_needs_one_object(self):
        sampler = self.start()
        client = curriculum.Sampler(sampler.url)
        rows = [rows for rows in client.batches(END - 3)]
        self.assertEqual(rows, list(curriculum.BatchSampler(start_step=END - 3, client=client)))
        self.assertEqual(client.report(END, {"loss": 1})["nextStep"], END)
        self.assertEqual(client.status()["servedStep"], END)
        self.assertEqual([len(rows) for rows in client.batches()], [BATCH] * (END - FIRST))

    def test_the_size_of_a_request_and_the_world_change_nothing(self):
        client = self.client(self.start())
        whole = list(curriculum.BatchSampler(client=client))
        for prefetch in (1, 7, 1000):
            self.assertEqual(list(curriculum.BatchSampler(client=client, prefetch=prefetch)), whole)
        for world in (2, 5):
            ranks = [curriculum.BatchSampler(client=client, rank=r, world_size=world) for r in range(world)]
            self.assertEqual([sum(parts, []) for parts in zip(*ranks)], whole)

    def test_a_loop_that_stops_before_the_last_batch_is_not_complete(self):
        for steps in (1, END - FIRST - 1):
            sampler = self.start()
            batches = curriculum.BatchSampler(client=self.client(sampler), prefetch=1000)
            self.assertEqual(len(list(itertools.islice(batches, steps))), steps)
            self.assertEqual(sampler.result()["servedStep"], END - 1)

    def test_a_checkpoint_at_the_end_is_complete_without_a_batch(self):
        sampler = self.start()
        batches = curriculum.BatchSampler(start_step=END, client=self.client(sampler))
        self.assertEqual(list(batches), [])
        self.assertEqual(sampler.result()["servedStep"], END)

    def test_output_without_a_copy(self):
        client = self.client(self.start())
        lists = list(curriculum.BatchSampler(client=client))
        views = list(curriculum.BatchSampler(client=client, output="memoryview"))
        self.assertEqual([(view.format, view.itemsize) for view in views[:1]], [("Q", 8)])
        self.assertEqual([view.tolist() for view in views], lists)
        with self.assertRaisesRegex(curriculum.CurriculumError, "`output` is 'arrow'; expected one of list"):
            curriculum.BatchSampler(client=client, output="arrow")

    def test_resuming_anywhere_goes_on_with_the_same_batches(self):
        client = self.client(self.start())
        whole = list(curriculum.BatchSampler(client=client))
        for done in (0, 1, 13, END - FIRST - 1, END - FIRST):
            first = curriculum.BatchSampler(client=client)
            head = list(itertools.islice(first, done))
            state = json.loads(json.dumps(first.state_dict()))
            second = curriculum.BatchSampler(client=client)
            second.load_state_dict(state)
            self.assertEqual(second.step, FIRST + done)
            self.assertEqual(head + list(second), whole)

    def test_the_state_counts_what_came_out_of_a_loader_that_runs_ahead(self):
        client = self.client(self.start())
        whole = [[f"row {row}" for row in rows] for rows in curriculum.BatchSampler(client=client)]
        for ahead in (0, 1, 8, 500):
            batches = curriculum.BatchSampler(client=client)
            loader = RunAhead(batches, max(1, ahead))
            taken, states = [], []
            for item in batches.track(loader):
                taken.append(item)
                states.append(batches.state_dict()["step"])
                if len(taken) == 20:
                    break
            self.assertEqual(states, list(range(FIRST + 1, FIRST + 21)))
            resumed = curriculum.BatchSampler(client=client)
            resumed.load_state_dict(batches.state_dict())
            rest = list(resumed.track(RunAhead(resumed, max(1, ahead))))
            self.assertEqual((taken + rest, resumed.step), (whole, END))
            self.assertEqual(taken + list(batches.track(loader)), whole, "the same loader goes on too")

    def test_a_state_of_another_run_is_refused_with_both_named(self):
        def batches(**changed):
            return curriculum.BatchSampler(client=self.client(self.start(support.attempt(**changed))))

        own = batches()
        cases = [
            (batches(seed=8).state_dict(), "`plan` is 'sha256:.*', but this one's is 'sha256:"),
            (batches(seed=8, phase=0).state_dict(), "`seed` is 8, but this one's is 7"),
            (batches(phase=0).state_dict(), "step is 0, but phase 1 has the steps 100 to 150"),
            ({**own.state_dict(), "step": END + 1}, "step is 151, but phase 1 has the steps 100 to 150"),
            ({**own.state_dict(), "version": 2}, "has version 2; expected 1"),
            ({}, "has version None; expected 1"),
        ]
        for state, message in cases:
            with self.assertRaisesRegex(curriculum.StateMismatch, message):
                own.load_state_dict(state)
        self.assertEqual(own.step, FIRST)

    def test_the_state_at_the_end_of_a_phase_begins_the_next(self):
        before = curriculum.BatchSampler(client=self.client(self.start(support.attempt(phase=0))))
        list(before)
        own = curriculum.BatchSampler(client=self.client(self.start()))
        own.load_state_dict(before.state_dict())
        self.assertEqual((own.step, len(own)), (FIRST, END - FIRST))

    def test_reports(self):
        sampler = self.start()
        batches = curriculum.BatchSampler(client=self.client(sampler))
        list(itertools.islice(batches, 5))
        reply = batches.report(batches.step, {"val_accuracy": 0.5, "epoch": 2}, groups={3: {"val_accuracy": 0.25}})
        self.assertEqual((reply["decision"], reply["endStep"], reply["accepted"]), ("continue", END, 3))
        self.assertEqual(batches.report(FIRST + 5, {"val_accuracy": 0.5})["ignored"], 1, "the same step again")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            batches.report(110, {"loss": float("nan"), "val_accuracy": 0.75})
        self.assertEqual([str(w.message) for w in caught], ["metric `loss` is nan: left out of the report"])
        with self.assertRaisesRegex(curriculum.RequestRefused, "`step` is 99; expected .* from 100 to 150"):
            batches.report(99, {})
        with self.assertRaisesRegex(curriculum.RequestRefused, "`metrics` has the name \"a b\""):
            batches.report(FIRST, {"a b": 1})
        result = sampler.result()
        self.assertEqual(result["metrics"]["val_accuracy"], {"value": 0.75, "step": 110})
        self.assertNotIn("loss", result["metrics"])

    def test_what_the_sampler_refuses_is_an_error_that_says_why(self):
        client = self.client(self.start())
        with self.assertRaisesRegex(curriculum.RequestRefused, "`world` is `13`; expected 1 to 12"):
            list(curriculum.BatchSampler(client=client, rank=0, world_size=13))
        with self.assertRaisesRegex(curriculum.CurriculumError, "`start_step` is 99; expected a step from 100 on"):
            curriculum.BatchSampler(client=client, start_step=99)
        with self.assertRaisesRegex(curriculum.CurriculumError, "`rank` is 2; expected 0 to 1"):
            curriculum.BatchSampler(client=client, rank=2, world_size=2)

    def test_a_sampler_that_restarts_is_waited_for(self):
        port = support.free_port()
        sampler = self.start(port=port)
        pauses = []

        def restart(seconds):
            pauses.append(seconds)
            if len(pauses) == 3:
                self.start(port=port)

        client = self.client(sampler, sleep=restart)
        batches = curriculum.BatchSampler(client=client, prefetch=4)
        head = list(itertools.islice(batches, 8))
        os.kill(sampler.process.pid, signal.SIGKILL)
        sampler.process.wait()
        rest = list(batches)
        self.assertEqual(pauses, sorted(pauses))
        self.assertEqual(len(pauses), 3)
        self.assertEqual(head + rest, list(curriculum.BatchSampler(client=client)))

    def test_a_sampler_that_is_gone_is_given_up(self):
        pauses = []
        client = curriculum.Sampler(f"http://127.0.0.1:{support.free_port()}", timeout=20, sleep=pauses.append)
        with self.assertRaisesRegex(curriculum.SamplerUnavailable, "no answer from the sampler at http://.* for 2. s: Conn"):
            client.plan()
        self.assertEqual(pauses[:3] + pauses[-2:], [0.05, 0.1, 0.2, 5.0, 5.0])

    def test_the_environment_of_a_pod_is_enough(self):
        sampler = self.start()
        whole = list(curriculum.BatchSampler(client=self.client(sampler)))
        os.environ.update(CURRICULUM_SAMPLER=sampler.url, RANK="1", WORLD_SIZE="3")
        batches = curriculum.open_sampler()
        self.assertIsInstance(batches, curriculum.BatchSampler)
        self.assertEqual(list(batches), [rows[4:8] for rows in whole])
        os.environ["RANK"] = "one"
        with self.assertRaisesRegex(curriculum.CurriculumError, "RANK is 'one'; expected an integer"):
            curriculum.open_sampler()
        del os.environ["CURRICULUM_SAMPLER"]
        with self.assertRaisesRegex(curriculum.CurriculumError, "no sampler: give `url`, or set CURRICULUM_SAMPLER"):
            curriculum.open_sampler()
        for url in ("127.0.0.1:7070", "https://a", "ftp://a"):
            with self.assertRaisesRegex(curriculum.CurriculumError, "is no address of a sampler"):
                curriculum.Sampler(url)

    def test_a_fork_does_not_share_the_connection(self):
        client = self.client(self.start())
        client.plan()
        child = os.fork()
        if child == 0:
            os._exit(0 if client.plan()["startStep"] == FIRST else 1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertEqual(client.plan()["startStep"], FIRST)


class File(SamplerCase):
    def open(self):
        path = self.folder / "rows.u64"
        sampler = self.start(rows_file=path)
        os.environ.update(
            CURRICULUM_ROWS_FILE=str(path),
            CURRICULUM_START_STEP=str(FIRST),
            CURRICULUM_END_STEP=str(END),
            CURRICULUM_PHASE_INDEX="1",
            CURRICULUM_SAMPLER=sampler.url,
        )
        return sampler

    def test_the_file_gives_the_same_batches_as_http(self):
        sampler = self.open()
        client = curriculum.Sampler(sampler.url)
        self.assertIsInstance(curriculum.open_sampler(), curriculum.FileSampler)
        for world in (1, 5):
            for rank in range(world):
                place = {"rank": rank, "world_size": world}
                file, http = curriculum.open_sampler(**place), curriculum.BatchSampler(client=client, **place)
                self.assertEqual((file.batch_size, len(file), list(file)), (BATCH, END - FIRST, list(http)))
        self.assertEqual(sampler.result()["servedStep"], END)

    def test_states_and_reports_work_as_with_http(self):
        sampler = self.open()
        whole = list(curriculum.open_sampler())
        batches = curriculum.open_sampler()
        taken = [item for item, _ in zip(batches.track(RunAhead(batches, 8)), range(10))]
        self.assertEqual(batches.step, FIRST + 11, "zip asks for one more before it ends")
        self.assertEqual(batches.report(110, {"loss": 1.0})["accepted"], 1)
        self.assertEqual(batches.plan()["endStep"], END)
        resumed = curriculum.open_sampler()
        resumed.load_state_dict({**batches.state_dict(), "step": FIRST + 10})
        self.assertEqual(taken, [[f"row {row}" for row in rows] for rows in whole[:10]])
        self.assertEqual(list(resumed), whole[10:])
        other = {**batches.state_dict(), "plan": "file-sha256:0"}
        with self.assertRaisesRegex(curriculum.StateMismatch, "`plan` is 'file-sha256:0', but this one's is 'file-sha256:"):
            resumed.load_state_dict(other)
        self.assertEqual(sampler.result()["metrics"]["loss"]["step"], 110)

    def test_a_file_that_cannot_be_of_the_phase_is_refused(self):
        path = pathlib.Path(self.folder / "rows.u64")
        for size in (0, 8, 50 * 8 * BATCH - 8):
            path.write_bytes(random.Random(size).randbytes(size))
            with self.assertRaisesRegex(curriculum.CurriculumError, f"has {size} bytes, which are no whole batches"):
                curriculum.FileSampler(path, FIRST, END)
        path.write_bytes(bytes(50 * 8 * BATCH))
        with self.assertRaisesRegex(curriculum.CurriculumError, "`world_size` is 13; expected at most the 12 rows"):
            curriculum.FileSampler(path, FIRST, END, world_size=13)
        with self.assertRaisesRegex(curriculum.CurriculumError, "no `first_step`: give it, or set CURRICULUM_START_STEP"):
            curriculum.FileSampler(path)


if __name__ == "__main__":
    import unittest

    unittest.main()
