"""Runs the real sampler on a plan in a scratch folder. `CURRICULUM_BIN` names the binary; the example `attempt` lies beside it.

`CURRICULUM_PYTHON` names the folder of the packages when it is not that of the sources.
"""

import json
import os
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.environ.get("CURRICULUM_PYTHON") or str(pathlib.Path(__file__).resolve().parent.parent))

BATCH = 12
ROWS = 500
FIRST, END = 100, 150
RUN = "5e6f2b1c"


def binary():
    path = os.environ.get("CURRICULUM_BIN", "target/debug/curriculum")
    if not os.access(path, os.X_OK):
        raise RuntimeError(f"{path} is no program: build it with `cargo build`, or set CURRICULUM_BIN")
    return path


def attempt(seed=7, phase=1):
    """What the sampler is to serve: phase 0 has the steps before FIRST, phase 1 those from there to END."""
    phases = [("warm", FIRST), ("grow", END - FIRST)]
    phases = [{"name": name, "pool": {"fraction": "1"}, "duration": {"steps": steps}} for name, steps in phases]
    return {"curriculum": {"batchSize": BATCH, "phases": phases}, "seed": seed, "rows": ROWS, "phase": phase}


def in_tokens():
    """The same with batches of up to 700 tokens and 30 rows; row r has 1 + (7919·r mod 100), of which 90 count."""
    what = {**attempt(), "groups": 2}
    tokens = {"budget": 700, "maxLength": 90, "lengthScorer": "tokens"}
    what["curriculum"].update(batchSize=30, batchTokens=tokens)
    return what


def write_plan(folder, what):
    """The operator's own compiler makes the plan: the example `attempt`, beside the binary."""
    program = pathlib.Path(binary()).parent / "examples/attempt"
    subprocess.run([program, folder], input=json.dumps(what), text=True, check=True)


class Sampler:
    """A sampler on loopback. `port` 0 takes a free one; `spoil` is called with the folder, between the writing and the reading of its files."""

    def __init__(self, folder, what=None, port=0, rows_file=None, run=RUN, manifest=None, spoil=None):
        self.folder = folder = pathlib.Path(folder)
        write_plan(folder, what or attempt())
        if spoil is not None:
            spoil(folder)
        self.log_path = folder / "termination-log"
        self.log_path.touch()
        command = [binary(), "sampler", "--plan", folder / "plan.json", "--store", folder / "store", "--state", folder / "state"]
        command += ["--termination-log", self.log_path, "--listen", f"127.0.0.1:{port}", "--status-listen", "127.0.0.1:0"]
        command += ["--log-format", "json"]
        command += ["--rows-file", rows_file] if rows_file else []
        command += ["--run", run] if run else []
        command += ["--manifest", manifest] if manifest else []
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CURRICULUM_LOG")}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment)
        seen = []
        for line in self.process.stderr:
            seen.append(line)
            event = json.loads(line)
            if event["message"] == "listening":
                self.url = f"http://{event['address']}"
                break
        else:
            raise RuntimeError(f"the sampler ended: {seen}")
        # The pipe must not fill up.
        self._drain = threading.Thread(target=self.process.stderr.read)
        self._drain.start()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(60)
        self._drain.join()
        self.process.stderr.close()

    def result(self):
        self.stop()
        essentials, details = self.log_path.read_text().split("\n")
        return {**json.loads(essentials), **json.loads(details)}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class SamplerCase(unittest.TestCase):
    """A test with a scratch folder, and an environment of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        kept = dict(os.environ)
        self.addCleanup(lambda: (os.environ.clear(), os.environ.update(kept)))
        for name in [n for n in os.environ if n.startswith("CURRICULUM_") and n not in ("CURRICULUM_BIN", "CURRICULUM_PYTHON")]:
            del os.environ[name]
        os.environ.pop("RANK", None)
        os.environ.pop("WORLD_SIZE", None)

    def start(self, what=None, **options):
        folder = self.folder / f"sampler-{random.getrandbits(64):x}"
        folder.mkdir()
        sampler = Sampler(folder, what, **options)
        self.addCleanup(sampler.stop)
        return sampler
