"""The client against the real sampler."""

import itertools
import json
import os
import pathlib
import random
import signal
import socket
import warnings

import support
from support import BATCH, END, FIRST, ROWS, RUN, SamplerCase

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
        self.assertEqual((batches.step, len(batches)), (FIRST, END - FIRST))
        self.assertEqual((batches.batch_size, batches.global_batch_size), (BATCH, BATCH))
        taken = list(batches)
        self.assertEqual([len(rows) for rows in taken], [BATCH] * (END - FIRST))
        self.assertTrue(all(type(row) is int and 0 <= row < ROWS for rows in taken for row in rows))
        self.assertEqual(len({row for rows in taken for row in rows}), ROWS, "600 draws, each pass shows every row once")
        self.assertEqual((batches.step, len(batches), list(batches)), (END, 0, []))
        self.assertEqual(sampler.result()["servedStep"], END)

    def test_a_small_trainer_needs_one_object(self):
        sampler = self.start()
        client = curriculum.Sampler(sampler.url)
        run = client.plan()["run"]
        rows = [rows for rows in client.batches(END - 3, run)]
        self.assertEqual(rows, list(curriculum.BatchSampler(start_step=END - 3, run=run, client=client)))
        self.assertEqual(client.report(END, {"loss": 1})["nextStep"], END)
        self.assertEqual(client.status()["servedStep"], END)
        self.assertEqual([len(rows) for rows in client.batches()], [BATCH] * (END - FIRST))

    def test_the_size_of_a_request_and_the_world_change_nothing(self):
        client = self.client(self.start())
        whole = list(curriculum.BatchSampler(client=client))
        for prefetch in (1, 7, 1000):
            self.assertEqual(list(curriculum.BatchSampler(client=client, prefetch=prefetch)), whole)
        for world in (2, 5):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                ranks = [curriculum.BatchSampler(client=client, rank=r, world_size=world) for r in range(world)]
            self.assertEqual([sum(parts, []) for parts in zip(*ranks)], whole)

    def test_batches_that_tokens_bound_have_the_rows_that_fit(self):
        budget, longest = 700, 90
        what = support.in_tokens()
        sampler = self.start(what)
        client = self.client(sampler)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            batches = curriculum.BatchSampler(client=client)
        self.assertEqual((batches.token_budget, batches.global_batch_size), (budget, 30))
        taken = list(batches)

        def length(row):
            return min(1 + 7919 * row % 100, longest)

        sums = [sum(map(length, rows)) for rows in taken]
        self.assertEqual(len(taken), END - FIRST)
        self.assertTrue(all(budget - longest < size <= budget for size in sums), sums)
        self.assertGreater(len({len(rows) for rows in taken}), 3, "batches of several sizes")
        self.assertEqual(sampler.result()["tokens"], sum(sums))
        # Ranks and their micro-batches share the same batches; resumed anywhere they are the same.
        client = self.client(self.start(what))
        for step in (FIRST, FIRST + 17, END - 1):
            parts = []
            for rank in range(3):
                own = curriculum.BatchSampler(step, batches.plan()["run"], rank=rank, world_size=3, micro_batches=2, client=client)
                items = iter(own)
                parts += next(items) + next(items)
            self.assertEqual(parts, taken[step - FIRST])
        with self.assertRaisesRegex(curriculum.CurriculumError, "`world_size` is 8; expected at most the 7 rows of a batch"):
            curriculum.BatchSampler(rank=0, world_size=8, client=client)

    def test_a_loop_that_stops_before_the_last_batch_is_not_complete(self):
        for steps in (1, END - FIRST - 1):
            sampler = self.start()
            batches = curriculum.BatchSampler(client=self.client(sampler), prefetch=1000)
            self.assertEqual(len(list(itertools.islice(batches, steps))), steps)
            self.assertEqual(sampler.result()["servedStep"], END - 1)

    def test_a_checkpoint_at_the_end_is_complete_without_a_batch(self):
        sampler = self.start()
        batches = curriculum.BatchSampler(start_step=END, run=RUN, client=self.client(sampler))
        self.assertEqual(list(batches), [])
        result = sampler.result()
        self.assertEqual((result["servedStep"], result["resumedAt"]), (END, END))

    def test_a_checkpoint_of_another_run_is_no_proof(self):
        sampler = self.start()
        client = self.client(sampler)
        for step, run in ((END, None), (END, "77aa"), (FIRST + 1, None)):
            with self.assertRaisesRegex(curriculum.SessionRefused, "expected a checkpoint of this run, `5e6f2b1c`"):
                next(iter(curriculum.BatchSampler(start_step=step, run=run, client=client)))
        state = {**curriculum.BatchSampler(client=client).state_dict(), "run": "77aa", "step": END}
        with self.assertRaisesRegex(curriculum.StateMismatch, "`run` is '77aa', but this one is '5e6f2b1c'.* from step 100 on"):
            curriculum.BatchSampler(client=client).load_state_dict(state)
        self.assertEqual(sampler.result()["servedStep"], FIRST)

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
            state = batches.state_dict()
            self.assertEqual(taken + list(batches.track(loader)), whole, "the same loader goes on")
            resumed = curriculum.BatchSampler(client=client)
            resumed.load_state_dict(state)
            rest = list(resumed.track(RunAhead(resumed, max(1, ahead))))
            self.assertEqual((taken + rest, resumed.step), (whole, END))

    def test_a_state_of_another_place_is_refused_with_both_named(self):
        def batches(run=None, **changed):
            return curriculum.BatchSampler(client=self.client(self.start(support.attempt(**changed), run=run)))

        own = batches()
        cases = [
            (batches(seed=8).state_dict(), "`plan` is 'sha256:.*', but this one's is 'sha256:"),
            (batches(seed=8, phase=0).state_dict(), "`seed` is 8, but this one's is 7"),
            (batches(phase=0).state_dict(), "step is 0, but phase 1 has the steps 100 to 150"),
            ({**own.state_dict(), "step": END + 1}, "step is 151, but phase 1 has the steps 100 to 150"),
            ({**own.state_dict(), "version": 1}, "has version 1; expected 2"),
            ({}, "has version None; expected 2"),
        ]
        for state, message in cases:
            with self.assertRaisesRegex(curriculum.StateMismatch, message):
                own.load_state_dict(state)
        self.assertEqual(own.step, FIRST)
        # In one run, the plan may be another after its scores were lost.
        fallen_back = batches(run=RUN, seed=8)
        fallen_back.load_state_dict({**batches(run=RUN).state_dict(), "step": FIRST + 5})
        self.assertEqual(fallen_back.step, FIRST + 5)

    def test_the_state_at_the_end_of_a_phase_begins_the_next(self):
        before = curriculum.BatchSampler(client=self.client(self.start(support.attempt(phase=0))))
        list(before)
        own = curriculum.BatchSampler(client=self.client(self.start()))
        own.load_state_dict(before.state_dict())
        self.assertEqual((own.step, len(own)), (FIRST, END - FIRST))

    def test_reports(self):
        sampler = self.start()
        batches = curriculum.BatchSampler(client=self.client(sampler), prefetch=10)
        list(itertools.islice(batches, 5))
        reply = batches.report(batches.step, {"val_accuracy": 0.5, "epoch": 2}, groups={3: {"val_accuracy": 0.25}})
        self.assertEqual((reply["decision"], reply["endStep"], reply["accepted"]), ("continue", END, 3))
        self.assertEqual(batches.report(FIRST + 5, {"val_accuracy": 0.5})["ignored"], 1, "the same step again")
        self.assertEqual(batches.report(110, {"val_accuracy": 0.75})["accepted"], 1)
        self.assertEqual(sampler.result()["metrics"]["val_accuracy"], {"value": 0.75, "step": 110})

    def test_no_report_ends_a_training_and_each_kind_of_trouble_is_told_once(self):
        sampler = self.start()
        batches = curriculum.BatchSampler(client=self.client(sampler))
        next(iter(batches))
        reports = [
            (FIRST, {"loss": float("nan"), "val_accuracy": 0.75}, None, "metric `loss` is nan: left out"),
            (FIRST, {"loss (train)": 0.5, "val_accuracy": 0.75}, None, "metric 'loss \\(train\\)' is left out of the report: expected a name"),
            (FIRST, {"précision": 0.5}, None, None),
            (FIRST, {"loss": object()}, None, "metric `loss` is left out of the report: object is no number"),
            (FIRST, {}, {"class a": {"loss": 1}}, "group 'class a' is left out of the report: expected the number of a group"),
            (FIRST + 2, {f"ap/{c}": 0.1 for c in range(33)}, None, "metric `ap/31` is left out of the report: a phase has at most 32"),
            (END + 5, {"val_accuracy": 1}, None, "did not take a report: `step` is 155; expected .* from 100 to 150"),
            (FIRST - 1, {"val_accuracy": 1}, None, None),
            ("soon", {}, None, "this report cannot be sent: ValueError"),
            (FIRST, None, None, None),
        ]
        for step, metrics, groups, message in reports:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                self.assertEqual(batches.report(step, metrics, groups)["decision"], "continue")
            self.assertEqual(len(caught), 1 if message else 0, [str(w.message) for w in caught])
            if message:
                self.assertRegex(str(caught[0].message), message)
        metrics = sampler.result()["metrics"]
        self.assertEqual(metrics["val_accuracy"], {"value": 0.75, "step": FIRST})
        self.assertEqual(len(metrics), 32)

    def test_a_sampler_that_is_gone_or_hangs_ends_no_training_by_a_report(self):
        with socket.socket() as listener:
            # The kernel accepts, and nobody answers.
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            for port in (support.free_port(), listener.getsockname()[1]):
                client, now = self.fake_time(port)
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    for _ in range(3):
                        self.assertEqual(client.report(FIRST, {"loss": 1.0}), {"decision": "continue"})
                self.assertEqual(len(caught), 1, [str(w.message) for w in caught])
                self.assertRegex(str(caught[0].message), "did not take a report: no answer from the sampler .* for 5 s")
                self.assertLess(now[0], 6, "the second report did not wait again")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            path = self.folder / "rows.u64"
            path.write_bytes(bytes(50 * 8 * BATCH))
            curriculum.FileSampler(path, FIRST, END).report(FIRST, {"loss": 1.0})
        self.assertRegex(str(caught[0].message), "no sampler to report to: no sampler: give `url`")

    def fake_time(self, port, **options):
        """A client whose waits, those for a reply included, only move its clock; and its clock."""
        now = [0.0]

        def wait(seconds):
            now[0] += seconds

        client = curriculum.Sampler(f"http://127.0.0.1:{port}", sleep=wait, clock=lambda: now[0], **options)
        limit = client._limit

        def no_real_wait(end):
            limit(end)
            seconds = client._connection.timeout
            client._connection.timeout = 0.02
            if client._connection.sock is not None:
                client._connection.sock.settimeout(0.02)
            now[0] += seconds

        client._limit = no_real_wait
        return client, now

    def test_the_time_for_a_sampler_that_does_not_answer_is_the_time_of_all_tries(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            client, now = self.fake_time(listener.getsockname()[1], timeout=300)
            with self.assertRaisesRegex(curriculum.SamplerUnavailable, "for 300 s"):
                client.plan()
            self.assertEqual(now[0], 300)

    def test_what_the_sampler_refuses_is_an_error_that_says_why(self):
        client = self.client(self.start())
        with self.assertRaisesRegex(curriculum.RequestRefused, "`world` is `13`; expected 1 to 12"):
            client.fetch(FIRST, world_size=13)
        with self.assertRaisesRegex(curriculum.CurriculumError, "`world_size` is 13; expected at most the 12 rows of a batch"):
            curriculum.BatchSampler(client=client, rank=0, world_size=13)
        for micro in (0, 7):
            with self.assertRaisesRegex(curriculum.CurriculumError, f"`micro_batches` is {micro}; expected 1 to 6"):
                curriculum.BatchSampler(client=client, rank=0, world_size=2, micro_batches=micro)
        with self.assertRaisesRegex(curriculum.CurriculumError, "`start_step` is 99; expected a step from 100 on"):
            curriculum.BatchSampler(client=client, start_step=99)
        with self.assertRaisesRegex(curriculum.CurriculumError, "`rank` is 2; expected 0 to 1"):
            curriculum.BatchSampler(client=client, rank=2, world_size=2)

    def test_a_sampler_that_restarts_is_waited_for(self):
        port = support.free_port()
        folder = self.folder / "restarted"
        folder.mkdir()
        sampler = support.Sampler(folder, port=port)
        self.addCleanup(sampler.stop)
        pauses, again = [], []

        def restart(seconds):
            pauses.append(seconds)
            if len(pauses) == 3:
                again.append(support.Sampler(folder, port=port))
                self.addCleanup(again[0].stop)

        client = self.client(sampler, sleep=restart)
        batches = curriculum.BatchSampler(client=client, prefetch=4)
        head = list(itertools.islice(batches, 8))
        os.kill(sampler.process.pid, signal.SIGKILL)
        sampler.process.wait()
        rest = list(batches)
        self.assertEqual(pauses, sorted(pauses))
        self.assertEqual(len(pauses), 3)
        self.assertEqual(again[0].result()["servedStep"], END, "it knows its sessions")
        with memoryview(curriculum.Sampler(self.start().url).fetch(FIRST, 50)[1]) as whole:
            rows = whole.cast("Q").tolist()
        self.assertEqual(sum(head + rest, []), rows)

    def test_a_sampler_that_is_gone_is_given_up(self):
        pauses = []
        client = curriculum.Sampler(
            f"http://127.0.0.1:{support.free_port()}", timeout=20, sleep=pauses.append, clock=lambda: sum(pauses)
        )
        with self.assertRaisesRegex(curriculum.SamplerUnavailable, "no answer from the sampler at http://.* for 20 s: Conn"):
            client.plan()
        self.assertEqual(pauses[:3] + pauses[-2:-1], [0.05, 0.1, 0.2, 5.0])
        self.assertEqual(sum(pauses), 20)

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
        path = self.folder / f"rows-{random.getrandbits(64):x}.u64"
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
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)
                    file, http = curriculum.open_sampler(**place), curriculum.BatchSampler(client=client, **place)
                self.assertEqual((file.global_batch_size, len(file), list(file)), (BATCH, END - FIRST, list(http)))

    def test_a_file_of_batches_that_tokens_bound_gives_the_same_rows(self):
        what = support.in_tokens()
        http = list(curriculum.BatchSampler(client=curriculum.Sampler(self.start(what).url)))
        sampler = self.start(what, rows_file=self.folder / "tokens.u64")
        batches = curriculum.FileSampler(self.folder / "tokens.u64")
        self.assertEqual(list(batches), http)
        self.assertEqual(sampler.result()["servedStep"], END)
        ranks = [list(curriculum.FileSampler(self.folder / "tokens.u64", rank=rank, world_size=3)) for rank in range(3)]
        self.assertEqual([sum(parts, []) for parts in zip(*ranks)], http)
        self.assertGreaterEqual(min(len(part) for rank in ranks for part in rank), 2)

    def test_what_was_read_counts_and_not_what_was_written(self):
        sampler = self.open()
        batches = curriculum.open_sampler(rows=ROWS)
        self.assertEqual(sum(1 for _ in batches), END - FIRST)
        self.assertEqual(sampler.result()["servedStep"], END)
        for take, served in ((0, FIRST), (5, FIRST + 5), (END - FIRST - 1, END - 1)):
            sampler = self.open()
            batches = curriculum.open_sampler()
            list(itertools.islice(batches.track(RunAhead(batches, 30)), take))
            batches.report(batches.step, {"loss": 1.0})
            self.assertEqual(sampler.result()["servedStep"], served)

    def test_a_loader_that_never_read_the_file_is_refused(self):
        sampler = self.open()
        batches = curriculum.open_sampler()
        with self.assertRaisesRegex(curriculum.SamplerNotUsed, "did not ask"):
            list(batches.track(range(100)))
        self.assertEqual(sampler.result()["servedStep"], FIRST)

    def test_a_resume_is_told_and_one_of_another_run_does_not_count(self):
        sampler = self.open()
        self.assertEqual(len(list(curriculum.open_sampler(start_step=FIRST + 20, run=RUN))), END - FIRST - 20)
        result = sampler.result()
        self.assertEqual((result["servedStep"], result["resumedAt"]), (END, FIRST + 20))
        sampler = self.open()
        list(curriculum.open_sampler(start_step=FIRST + 20, run="77aa"))
        result = sampler.result()
        self.assertEqual(result["servedStep"], FIRST)
        self.assertIn("a checkpoint of run `77aa`; expected one of this run", result["trainerFault"])
        with self.assertRaisesRegex(curriculum.CurriculumError, "499 rows, but the curriculum was planned for 500"):
            curriculum.open_sampler(rows=499)

    def test_two_processes_with_one_name_are_told(self):
        self.open()
        list(itertools.islice(curriculum.open_sampler(), 3))
        child = os.fork()
        if child == 0:
            ended = 1
            try:
                next(iter(curriculum.open_sampler()))
            except curriculum.CurriculumError as error:
                ended = 0 if "two processes claim rank 0 of world 1" in str(error) else 2
            finally:
                os._exit(ended)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertEqual(len(list(curriculum.open_sampler())), END - FIRST, "in one process it is a new beginning")

    def test_states_and_reports_work_as_with_http(self):
        sampler = self.open()
        whole = list(curriculum.open_sampler())
        batches = curriculum.open_sampler()
        taken = [item for item, _ in zip(batches.track(RunAhead(batches, 8)), range(10))]
        self.assertEqual(batches.step, FIRST + 11, "zip asks for one more before it ends")
        self.assertEqual(batches.report(110, {"loss": 1.0})["accepted"], 1)
        self.assertEqual(batches.plan()["endStep"], END)
        http = curriculum.BatchSampler(client=curriculum.Sampler(sampler.url))
        self.assertEqual(batches.state_dict(), {**http.state_dict(), "step": FIRST + 11}, "either way of sampling may go on")
        resumed = curriculum.open_sampler()
        resumed.load_state_dict({**batches.state_dict(), "step": FIRST + 10})
        self.assertEqual(taken, [[f"row {row}" for row in rows] for rows in whole[:10]])
        self.assertEqual(list(resumed), whole[10:])
        with self.assertRaisesRegex(curriculum.StateMismatch, "`run` is '77aa', but this one is '5e6f2b1c'"):
            resumed.load_state_dict({**batches.state_dict(), "run": "77aa"})
        self.assertEqual(sampler.result()["metrics"]["loss"]["step"], 110)

    def test_a_file_that_cannot_be_of_the_phase_is_refused(self):
        path = pathlib.Path(self.folder / "rows.u64")
        for size in (0, 8, 50 * 8 * BATCH - 8):
            path.write_bytes(random.Random(size).randbytes(size))
            with self.assertRaisesRegex(curriculum.CurriculumError, f"has {size} bytes, which are no whole batches"):
                curriculum.FileSampler(path, FIRST, END)
        path.write_bytes(bytes(50 * 8 * BATCH))
        with self.assertRaisesRegex(curriculum.CurriculumError, "`world_size` is 13; expected at most the 12 rows"):
            curriculum.FileSampler(path, FIRST, END, rank=0, world_size=13)
        with self.assertRaisesRegex(curriculum.CurriculumError, "no `first_step`: give it, or set CURRICULUM_START_STEP"):
            curriculum.FileSampler(path)


if __name__ == "__main__":
    import unittest

    unittest.main()
