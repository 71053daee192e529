"""Batches for a DataLoader: drawn in this process, asked of the sampler over HTTP, and PyTorch's own for an
epoch without a curriculum.

Usage: ``in_process.py CURRICULUM ATTEMPT PACKAGES PAGE``: the two programs, the folder that holds
``curriculum`` and ``curriculum_client``, and the page whose table is written anew. It needs PyTorch.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

CURRICULUM, ATTEMPT, PACKAGES, PAGE = sys.argv[1:5]
# The client below is the one of these packages, whatever is installed.
sys.path.insert(0, PACKAGES)

import curriculum  # noqa: E402
import curriculum_client  # noqa: E402
import torch  # noqa: E402
from page import table  # noqa: E402
from torch.utils.data import BatchSampler, RandomSampler  # noqa: E402

BEGIN, END = "<!-- Written by `make bench-in-process` from here ... -->", "<!-- ... to here -->"
SIZES = (1_000_000, 10_000_000)
BATCH = 1024
ROUNDS = 9
RUN = "benchmark"

torch.set_num_threads(1)


def request(rows):
    """5 % of a batch from all rows, 10 % from the easiest half, the rest from the easiest 60 %; more than an
    epoch for every round.
    """
    steps = 4 * (ROUNDS + 1) * rows // BATCH
    phase = {"name": "more", "pool": {"fraction": "0.6"}, "replay": "0.1", "duration": {"steps": steps}}
    first = {"name": "half", "pool": {"fraction": "0.5"}, "duration": {"steps": 1}}
    return {"curriculum": {"batchSize": BATCH, "uniformFloor": "0.05", "phases": [first, phase]}, "seed": 42, "rows": rows, "groups": 1, "phase": 1}


class Server:
    """The sampler's process."""

    def __init__(self, folder):
        (folder / "log").touch()
        files = ["--plan", folder / "plan.json", "--store", folder / "store", "--state", folder / "state", "--termination-log", folder / "log"]
        command = [CURRICULUM, "sampler", *files, "--listen", "127.0.0.1:0", "--status-listen", "127.0.0.1:0", "--log-format", "json"]
        command += ["--run", RUN]
        self._log = folder / "events"
        self._process = subprocess.Popen(command, stderr=self._log.open("wb"))
        self.url = self._address()

    def _address(self):
        while self._process.poll() is None:
            events = [json.loads(line) for line in self._log.read_text().splitlines()]
            for event in events:
                if event["message"] == "listening":
                    return f"http://{event['address']}"
            time.sleep(0.01)
        raise RuntimeError(f"the sampler ended early: {self._log.read_text()}")

    def processor_time(self):
        """Seconds of the process so far."""
        fields = pathlib.Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self._process.terminate()
        self._process.wait(60)


def contenders(plan, url, rows):
    """Name, and what makes an iterable of batches from a step on."""
    client = curriculum_client.Sampler(url)
    return {
        "in process": lambda step: curriculum.BatchSampler(plan, step),
        "HTTP": lambda step: curriculum_client.BatchSampler(step, run=RUN, client=client),
        "RandomSampler": lambda step: BatchSampler(RandomSampler(range(rows)), BATCH, drop_last=True),
        "in process, arrays": lambda step: curriculum.BatchSampler(plan, step, output="numpy"),
        "HTTP, arrays": lambda step: curriculum_client.BatchSampler(step, run=RUN, output="numpy", client=client),
    }


def epoch(batches, count, server):
    """Seconds to the first batch and to the last of an epoch, and processor time of both processes."""
    used = time.process_time() + server.processor_time()
    begin, first = time.perf_counter(), None
    for _, rows in zip(range(count), batches):
        first = first or time.perf_counter() - begin
    assert len(rows) == BATCH
    return first, time.perf_counter() - begin, time.process_time() + server.processor_time() - used


def measure(rows):
    """What :func:`epoch` tells of each contender in all rounds: they take turns, the first only warms up."""
    count = rows // BATCH
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run([ATTEMPT, folder], input=json.dumps(request(rows)), text=True, check=True)
        server = Server(folder)
        try:
            begin = time.perf_counter()
            plan = curriculum.Plan(folder / "plan.json", folder / "store")
            opened = time.perf_counter() - begin
            found = {}
            for turn in range(ROUNDS + 1):
                step = plan.start_step + turn * count
                for contender, make in contenders(plan, server.url, rows).items():
                    found.setdefault(contender, []).append(epoch(make(step), count, server))
        finally:
            server.stop()
    return opened, {contender: rounds[1:] for contender, rounds in found.items()}


def main():
    lines = []
    for rows in SIZES:
        opened, found = measure(rows)
        print(f"{rows:,} rows: opened in {opened * 1000:.0f} ms", flush=True)
        ours = found["in process"]
        for contender, rounds in found.items():
            first, rate = (statistics.median(times) for times in zip(*((r[0] * 1000, rows // BATCH / r[1]) for r in rounds)))
            wall, cpu = (statistics.median(r[i] / mine[i] for r, mine in zip(rounds, ours)) for i in (1, 2))
            size = {1_000_000: "10⁶", 10_000_000: "10⁷"}[rows]
            lines.append([contender, size, f"{rate:,.0f}", f"{wall:.2f}×", f"{cpu:.2f}×", f"{first:,.2f} ms"])
            print("  ", *lines[-1], flush=True)
    text = table(["batches of 1,024 rows", "rows", "a second", "time", "CPU", "first batch"], lines)
    page = pathlib.Path(PAGE)
    before, rest = page.read_text().split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    versions = f"PyTorch {torch.__version__}, Python {sys.version.split()[0]}, {os.cpu_count()} cores"
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{versions}.\n\n{END}{after}")


if __name__ == "__main__":
    main()
