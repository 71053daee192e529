"""The way of a batch into numpy: the real sampler process, HTTP on loopback, the Python client. Prints its results as one line of JSON.

Usage: ``http_path.py CURRICULUM ATTEMPT CLIENT``: the two programs, and the folder that holds ``curriculum_client``.
"""

import json
import multiprocessing
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

CURRICULUM, ATTEMPT, CLIENT = sys.argv[1:4]
sys.path.insert(0, CLIENT)

import curriculum_client  # noqa: E402
import numpy  # noqa: E402

ROWS = 10_000_000
BATCH = 1024
STEPS = 200_000
RUNS, RUN_STEPS = 7, 20_000
CLIENTS, REQUESTS, WARM_UP, ROUNDS = 8, 400, 50, 5


def request():
    phase = {"pool": {"fraction": "0.6"}, "replay": "0.1", "duration": {"steps": STEPS}}
    first = {"name": "half", "pool": {"fraction": "0.5"}, "duration": {"steps": STEPS}}
    curriculum = {"batchSize": BATCH, "balance": "Group", "uniformFloor": "0.05", "phases": [first, {"name": "more", **phase}]}
    return {"curriculum": curriculum, "seed": 42, "rows": ROWS, "groups": 10, "phase": 1}


class Sampler:
    """The process, listening on loopback."""

    def __init__(self, folder):
        (folder / "log").touch()
        files = ["--plan", folder / "plan.json", "--store", folder / "store", "--state", folder / "state", "--termination-log", folder / "log"]
        command = [CURRICULUM, "sampler", *files, "--listen", "127.0.0.1:0", "--status-listen", "127.0.0.1:0", "--log-format", "json"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE)
        for line in self.process.stderr:
            event = json.loads(line)
            if event["message"] == "listening":
                self.url = f"http://{event['address']}"
                # The pipe must not fill up.
                self._drain = threading.Thread(target=self.process.stderr.read)
                self._drain.start()
                return
        raise RuntimeError("the sampler ended early")

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        self._drain.join()

    def memory(self):
        """Anonymous memory in bytes: what the process needs beside the mapped index."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Anonymous:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no `Anonymous` in smaps_rollup")


def rate(url):
    """Rows per second of one client that takes batches as numpy arrays, for several runs over steps that nobody had before."""
    rates = []
    for run in range(RUNS):
        start = STEPS + run * RUN_STEPS
        batches = curriculum_client.BatchSampler(start_step=start, output="numpy", client=curriculum_client.Sampler(url))
        begin, rows = time.perf_counter(), 0
        for batch, _ in zip(batches, range(RUN_STEPS)):
            rows += len(batch)
        assert batch.dtype.kind in "iu"
        rates.append(rows / (time.perf_counter() - begin))
    return rates


def ask(url, barrier, results):
    """One client: asks for one batch of 1,024 rows after the other and notes how long each takes until it is an array."""
    client = curriculum_client.Sampler(url)
    seconds = []
    for i in range(WARM_UP + REQUESTS):
        if i == WARM_UP:
            barrier.wait()
        begin = time.perf_counter()
        count, data = client.fetch(STEPS + i)
        rows = numpy.frombuffer(data, dtype="<u8")
        seconds.append(time.perf_counter() - begin)
        assert count == 1 and len(rows) == BATCH
    results.put(seconds[WARM_UP:])


def delays(url, clients):
    """Seconds of each request of so many clients at once, each a process; several rounds, and the median of their figures."""
    rounds = [one_round(url, clients) for _ in range(ROUNDS)]
    return {
        "clients": clients,
        "requests": sum(map(len, rounds)),
        "median": statistics.median(statistics.median(seconds) for seconds in rounds),
        "p99s": sorted(seconds[int(len(seconds) * 0.99)] for seconds in rounds),
        "most": max(seconds[-1] for seconds in rounds),
    }


def one_round(url, clients):
    fork = multiprocessing.get_context("fork")
    barrier, results = fork.Barrier(clients), fork.SimpleQueue()
    processes = [fork.Process(target=ask, args=(url, barrier, results)) for _ in range(clients)]
    for process in processes:
        process.start()
    seconds = sorted(s for _ in processes for s in results.get())
    for process in processes:
        process.join()
    return seconds


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run([ATTEMPT, folder], input=json.dumps(request()), text=True, check=True)
        begin = time.perf_counter()
        sampler = Sampler(folder)
        try:
            result = {"rows": ROWS, "numpy": numpy.__version__, "start": time.perf_counter() - begin}
            result["delays"] = [delays(sampler.url, clients) for clients in (1, CLIENTS)]
            result["rates"] = rate(sampler.url)
            result["memory"] = sampler.memory()
        finally:
            sampler.stop()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
