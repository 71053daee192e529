"""Runs the programs of docs/frameworks with the real frameworks, and compares what their models were trained on with the curriculum.

A page's code is its first Python block. Its `project.py`, which is the user's, is made of `small_model.py`: models note the rows that they
are trained on, and can end the process in the middle of a step.
"""

import atexit
import json
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(HERE.parent))

from support import RUN, SamplerCase, binary, free_port

BATCH, ROWS, SEED = 8, 60, 7
# Steps of the two phases, and where the first attempt of the first phase ends for no reason: after a checkpoint, in a step.
PHASES = [("easy", 6), ("all", 4)]
CHECKPOINT_EVERY, CRASH_IN_STEP = 3, 4
LIMIT_SECONDS = 120


def curriculum():
    phases = [{"name": name, "pool": {"fraction": "1"}, "duration": {"steps": steps}} for name, steps in PHASES]
    return {"batchSize": BATCH, "phases": phases}


def steps_of(phase):
    before = sum(steps for _, steps in PHASES[:phase])
    return before, before + PHASES[phase][1]


def code(page):
    """The program of a page of docs/frameworks."""
    return re.search(r"^```python\n(.*?)^```", (ROOT / "docs/frameworks" / page).read_text(), re.M | re.S).group(1)


class Preloaded:
    """A process that has imported what the programs need, and runs them in forks of itself. One for all tests."""

    MODULES = ("torch._dynamo", "accelerate", "transformers.trainer", "lightning.pytorch", "torchdata.stateful_dataloader")
    running = None

    def __init__(self):
        path = os.pathsep.join([str(HERE.parents[1]), str(HERE)])
        self.process = subprocess.Popen(
            [sys.executable, HERE / "preloaded.py", *self.MODULES],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )

    @classmethod
    def one(cls):
        if cls.running is None:
            cls.running = cls()
            atexit.register(cls.running.process.communicate)
        return cls.running

    def run(self, work, environments):
        request = {"work": str(work), "environments": environments, "limit": LIMIT_SECONDS}
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


class Attempt:
    """What came of one run of a program: exit codes, output, and the rows of each call of the model, of each rank."""

    def __init__(self, codes, output, trained, result):
        self.codes, self.output, self.trained, self.result = codes, output, trained, result


class FrameworkCase(SamplerCase):
    """A test that runs a page's program in `PROCESSES` processes."""

    PROCESSES = 2
    ENVIRONMENT = {}
    PROJECT = "from small_model import Model, dataset"

    def setUp(self):
        super().setUp()
        self.checkpoints = self.folder / "checkpoints"
        self.checkpoints.mkdir()
        request = self.folder / "curriculum.json"
        request.write_text(json.dumps(curriculum()))
        command = [binary(), "sample", "-f", request, "--rows", str(ROWS), "--seed", str(SEED), "--from", "0"]
        command += ["--count", str(steps_of(len(PHASES) - 1)[1])]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        self.batches = [[int(row) for row in line.split()] for line in printed.splitlines()]

    def attempt(self, program, phase=0, crash_after=None, rows_file=False, **environment):
        """Runs the program as an attempt of a phase, with a sampler of its own."""
        work = self.folder / f"attempt-{len(list(self.folder.glob('attempt-*')))}"
        work.mkdir()
        what = {"curriculum": curriculum(), "seed": SEED, "rows": ROWS, "phase": phase}
        sampler = self.start(what, rows_file=work / "rows.u64" if rows_file else None)
        first, end = steps_of(phase)
        (work / "train.py").write_text(program)
        (work / "project.py").write_text(self.PROJECT)
        base = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
        base.update(
            CURRICULUM_SAMPLER=sampler.url,
            CURRICULUM_RUN=RUN,
            CURRICULUM_START_STEP=str(first),
            CURRICULUM_END_STEP=str(end),
            CURRICULUM_CHECKPOINT_DIR=str(self.checkpoints),
            PYTHONPATH=os.pathsep.join([str(HERE.parents[1]), str(HERE)]),
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(free_port()),
            OMP_NUM_THREADS="1",
            TRAINED=str(work),
            **self.ENVIRONMENT,
        )
        base.update(environment)
        if rows_file:
            base["CURRICULUM_ROWS_FILE"] = str(work / "rows.u64")
        if crash_after is not None:
            base["CRASH_AFTER"] = str(crash_after)
        environments = [{**base, **self.place(rank)} for rank in range(self.launched())]
        codes = Preloaded.one().run(work, environments)
        output = "".join((work / f"output-{rank}").read_text() for rank in range(len(codes)))
        trained = [[json.loads(line) for line in path.read_text().splitlines()] for path in sorted(work.glob("rank-*"))]
        return Attempt(codes, output, trained, sampler.result())

    def launched(self):
        """Processes that the test starts itself, as torchrun does; the framework starts the others."""
        return self.PROCESSES

    def place(self, rank):
        """What torchrun tells a process."""
        if self.launched() == 1:
            return {}
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(self.PROCESSES)}
        return {**place, "TORCHELASTIC_RUN_ID": "test"}

    def assert_trained(self, attempt, first, calls, micro):
        """The calls of the models, rank by rank, are the curriculum's batches from step `first` on, each in `micro` parts."""
        self.assertEqual([len(rank) for rank in attempt.trained], [calls] * self.PROCESSES, attempt.output)
        share = BATCH // self.PROCESSES // micro
        for call in range(calls):
            batch = self.batches[first + call // micro]
            for rank, rows in enumerate(attempt.trained):
                begin = (rank * micro + call % micro) * share
                self.assertEqual(rows[call], batch[begin : begin + share], f"rank {rank}, call {call}")
        for step in range(calls // micro):
            union = sum((sum(rank[micro * step : micro * (step + 1)], []) for rank in attempt.trained), [])
            self.assertEqual(union, self.batches[first + step])

    def assert_two_phases_with_a_crash(self, program, micro):
        """A phase whose first attempt ends in the middle, its second one that resumes, and the next phase."""
        crash = micro * CRASH_IN_STEP + micro // 2
        attempt = self.attempt(program, crash_after=crash)
        self.assertNotIn(0, attempt.codes, attempt.output)
        self.assert_trained(attempt, 0, crash, micro)
        self.assertLess(attempt.result["servedStep"], steps_of(0)[1])
        attempt = self.attempt(program)
        self.assertEqual(set(attempt.codes), {0}, attempt.output)
        self.assertEqual((attempt.result["servedStep"], attempt.result["resumedAt"]), (steps_of(0)[1], CHECKPOINT_EVERY))
        self.assert_trained(attempt, CHECKPOINT_EVERY, micro * (steps_of(0)[1] - CHECKPOINT_EVERY), micro)
        self.assertIn("loss", attempt.result["metrics"])
        attempt = self.attempt(program, phase=1)
        self.assertEqual(set(attempt.codes), {0}, attempt.output)
        self.assertEqual(attempt.result["servedStep"], steps_of(1)[1])
        self.assert_trained(attempt, steps_of(1)[0], micro * PHASES[1][1], micro)
        # The pod of a phase may end after its last checkpoint: there is nothing left to train, and that is complete.
        attempt = self.attempt(program, phase=1)
        self.assertEqual(set(attempt.codes), {0}, attempt.output)
        self.assertEqual((attempt.result["servedStep"], sum(attempt.trained, [])), (steps_of(1)[1], []))

    def assert_refused(self, program, message, **environment):
        """The program ends with an error that says `message`, and its attempt is not complete."""
        attempt = self.attempt(program, **environment)
        self.assertNotIn(0, attempt.codes, attempt.output)
        self.assertRegex(attempt.output, message)
        self.assertLess(attempt.result["servedStep"], steps_of(0)[1])
        return attempt
