"""A batch for each of 8 clients where scores are kept in Redis: from the sampler, which has its copy, and from Redis itself, as a data
loader would look up the scores of a batch. Writes the table into docs/benchmarks.md.

Usage: ``stores.py CURRICULUM ATTEMPT CLIENT PAGE``: the two programs, the folder that holds ``curriculum_client``, and the page.
"""

import hashlib
import json
import multiprocessing
import os
import pathlib
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

CURRICULUM, ATTEMPT, CLIENT, PAGE = sys.argv[1:5]
sys.path.insert(0, CLIENT)

import curriculum_client  # noqa: E402
import redis  # noqa: E402

from page import table  # noqa: E402

ROWS, GROUPS, BATCH, STEPS = 1_000_000, 10, 1024, 200_000
CLIENTS, REQUESTS, WARM_UP, ROUNDS = 8, 400, 50, 5
PART = 4 << 20
PREFIX = "bench:"
BEGIN, END = "<!-- Written by `make bench-stores` from here ... -->", "<!-- ... up to here -->"


class Server:
    """A Redis server on a port of loopback."""

    def __init__(self, folder):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        command = [os.environ["REDIS_SERVER"], "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--dir", folder]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.client = redis.Redis(port=self.port)
        while True:
            try:
                self.client.ping()
                return
            except redis.ConnectionError:
                time.sleep(0.02)

    def put(self, name, content):
        """A file as the operator's programs find it: see ``src/redis/mod.rs``."""
        number = "written-by-the-benchmark"
        parts = [content[at : at + PART] for at in range(0, len(content), PART)]
        for place, part in enumerate(parts):
            self.client.set(f"{PREFIX}part:{number}:{place}", part)
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        fields = {"id": number, "bytes": len(content), "parts": len(parts), "digest": digest}
        self.client.hset(f"{PREFIX}file:{name}", mapping=fields)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Sampler:
    """The process, listening on loopback."""

    def __init__(self, folder, store, place=None):
        (folder / "log").touch()
        state = tempfile.mkdtemp(dir=folder)
        files = ["--plan", folder / "plan.json", "--store", store, "--state", state, "--termination-log", folder / "log"]
        command = [CURRICULUM, "sampler", *files, "--listen", "127.0.0.1:0", "--status-listen", "127.0.0.1:0", "--log-format", "json"]
        if place:
            command += ["--store-place", json.dumps(place)]
        begin = time.perf_counter()
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE)
        for line in self.process.stderr:
            event = json.loads(line)
            assert "cannot be used" not in event["message"], event
            if event["message"] == "listening":
                self.start = time.perf_counter() - begin
                self.url = f"http://{event['address']}"
                # The pipe must not fill up.
                threading.Thread(target=self.process.stderr.read).start()
                return
        raise RuntimeError("the sampler ended early")

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


def batches(url):
    client = curriculum_client.Sampler(url)
    return lambda step: len(client.fetch(STEPS + step)[1]) // 8


def lookups(port):
    """The scores of rows that somebody has drawn already."""
    client = redis.Redis(port=port)
    rows = random.Random(port)
    return lambda _: len(client.hmget("scores", [rows.randrange(ROWS) for _ in range(BATCH)]))


def ask(make, argument, barrier, results):
    fetch, seconds = make(argument), []
    for step in range(WARM_UP + REQUESTS):
        if step == WARM_UP:
            barrier.wait()
        begin = time.perf_counter()
        count = fetch(step)
        seconds.append(time.perf_counter() - begin)
        assert count == BATCH
    results.put(seconds[WARM_UP:])


def one_round(make, argument):
    """Median and p99 of all requests of the clients, in milliseconds."""
    fork = multiprocessing.get_context("fork")
    barrier, results = fork.Barrier(CLIENTS), fork.SimpleQueue()
    processes = [fork.Process(target=ask, args=(make, argument, barrier, results)) for _ in range(CLIENTS)]
    for process in processes:
        process.start()
    seconds = sorted(s for _ in processes for s in results.get())
    for process in processes:
        process.join()
    return statistics.median(seconds) * 1000, seconds[int(len(seconds) * 0.99)] * 1000


def request():
    phase = {"pool": {"fraction": "0.6"}, "replay": "0.1", "duration": {"steps": STEPS}}
    first = {"name": "half", "pool": {"fraction": "0.5"}, "duration": {"steps": STEPS}}
    curriculum = {"batchSize": BATCH, "balance": "Group", "uniformFloor": "0.05", "phases": [first, {"name": "more", **phase}]}
    return {"curriculum": curriculum, "seed": 42, "rows": ROWS, "groups": GROUPS, "phase": 1}


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run([ATTEMPT, folder], input=json.dumps(request()), text=True, check=True)
        [index] = folder.glob("store/index/*/index.arrow")
        server = Server(folder)
        server.put(str(index.relative_to(folder / "store")), index.read_bytes())
        pipe = server.client.pipeline(transaction=False)
        for row in range(ROWS):
            pipe.hset("scores", row, row / ROWS)
            if row % 10_000 == 9_999:
                pipe.execute()
        place = {"redis": {"url": f"redis://127.0.0.1:{server.port}", "keyPrefix": PREFIX}}
        on_volume = Sampler(folder, folder / "store")
        from_redis = Sampler(folder, folder / "copies", place)
        contenders = {
            "sampler, store on a volume": (batches, on_volume.url),
            "sampler, store in Redis": (batches, from_redis.url),
            "redis-py, HMGET of the scores": (lookups, server.port),
        }
        found = {contender: [] for contender in contenders}
        try:
            for _ in range(ROUNDS):
                for contender, (make, argument) in contenders.items():
                    found[contender].append(one_round(make, argument))
            version = server.client.info("server")["redis_version"]
            server.kill()
            found["sampler, Redis killed"] = [one_round(batches, from_redis.url) for _ in range(ROUNDS)]
        finally:
            server.kill()
            on_volume.stop()
            from_redis.stop()
    ours = [p99 for _, p99 in found["sampler, store in Redis"]]
    lines = []
    for contender, rounds in found.items():
        median, p99 = (statistics.median(figures) for figures in zip(*rounds))
        ratio = statistics.median(theirs / mine for (_, theirs), mine in zip(rounds, ours))
        lines.append([contender, f"{median:.2f} ms", f"{p99:.2f} ms", f"{ratio:.1f}×"])
        print("  ", *lines[-1], flush=True)
    text = table(["1,024 rows for each of 8 clients", "median", "p99", "p99, ratio"], lines)
    page = pathlib.Path(PAGE)
    before, rest = page.read_text().split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    starts = f"From start to the first batch: {on_volume.start:.2f} s on a volume, {from_redis.start:.2f} s with the copy of 32 MB"
    versions = f"Redis {version}, redis-py {redis.__version__}, Python {sys.version.split()[0]}, {os.cpu_count()} cores"
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{starts}.\n{versions}.\n\n{END}{after}")


if __name__ == "__main__":
    main()
