"""Runs us and the rivals side by side, prints what it does, and writes the page.

Usage: ``run.py --programs FOLDER --numpy PYTHON --streaming PYTHON --torch PYTHON --page FILE``
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any, Optional

import page

HERE = pathlib.Path(__file__).resolve().parent
MILLION = 1_000_000
SIZES = (MILLION, 10 * MILLION, 100 * MILLION)
SECOND_PHASE = 1_000_000_000
OUR_BATCHES = 2000
# Bytes of memory that a case with 10⁸ rows may take for a moment.
ROOM = 8 << 30


class Worker:
    """A contender's process."""

    def __init__(self, command: list[str], environment: Optional[dict[str, str]] = None, may_fail: bool = True) -> None:
        self._may_fail = may_fail
        self._log = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, env=environment
        )

    def __call__(self, what: str, **details: Any) -> dict[str, Any]:
        try:
            print(json.dumps({what: details}), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._log.seek(0)
            last = self._log.read().strip().splitlines()[-1:] or ["no message"]
            reply = {"error": f"the process ended: {last[0][:200]}"}
        else:
            reply = json.loads(line)
        if "error" in reply and not self._may_fail:
            raise RuntimeError(f"{what} {details}: {reply['error']}")
        return reply

    def stop(self) -> None:
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()
        self._log.close()


class Run:
    """All measurements of one run."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._begin = time.monotonic()
        self._single = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._begin:4.0f} s] {text}", flush=True)

    def ours(self) -> Worker:
        return Worker([f"{self._options.programs}/examples/draws"], may_fail=False)

    def rival(self, python: str, script: str, *arguments: str) -> Worker:
        environment = dict(self._single)
        if python != self._options.torch:
            # Workarounds for old builds of OpenBLAS; numpy's own wheels bring a new one.
            environment.pop("OPENBLAS_CORETYPE", None)
            environment.pop("OPENBLAS_L2_SIZE", None)
        return Worker([python, "-u", str(HERE / script), *arguments], environment)

    def all(self) -> dict[str, Any]:
        ours = self.ours()
        try:
            return {
                "machine": page.machine(),
                "versions": self.versions(),
                "ours": self.own(ours),
                "draws": self.draws(ours),
                "epochs": self.epochs(ours),
                "deepspeed": self.deepspeed(ours),
                "far": self.far(ours),
                "many": self.many(ours),
                "compile": self.compile(ours),
                "http": self.http(),
            }
        finally:
            ours.stop()

    def own(self, ours: Worker) -> list[dict[str, Any]]:
        """Our batches, by curriculum."""
        results = []
        for rows in SIZES:
            for curriculum in ("pool", "blend", "balanced"):
                self.say(f"ours, {curriculum}: {rows:,} rows")
                ours("prepare", curriculum=curriculum, rows=rows, index=True)
                runs = [ours("draw", **{"from": SECOND_PHASE + i * OUR_BATCHES}, batches=OUR_BATCHES) for i in range(8)]
                seconds = [run["seconds"] / run["rows"] for run in runs[1:]]
                results.append({"curriculum": curriculum, "rows": rows, "seconds": seconds})
        return results

    def draws(self, ours: Worker) -> list[dict[str, Any]]:
        """Weighted draws, each repetition of a rival followed by one of ours."""
        options, results = self._options, []
        for rows in SIZES:
            ours("prepare", curriculum="blend", rows=rows, index=True)
            # Batches of one repetition: enough for a tenth of a second and more.
            for name, python, script, argument, batches in (
                ("numpy searchsorted", options.numpy, "numpy_draws.py", "searchsorted", 200),
                ("numpy Generator.choice", options.numpy, "numpy_draws.py", "choice", max(1, 20 * MILLION // rows)),
                ("torch.multinomial", options.torch, "torch_draws.py", "multinomial", 1000),
                ("WeightedRandomSampler", options.torch, "torch_draws.py", "sampler", 1000),
            ):
                times = 2 if argument == "choice" and rows == SIZES[-1] else 7
                results.append({"rival": name, "rows": rows, **self.pair(ours, python, script, argument, rows, batches, times)})
        return results

    def pair(self, ours: Worker, python: str, script: str, argument: str, rows: int, batches: int, times: int) -> dict[str, Any]:
        rival = self.rival(python, script, argument)
        try:
            return self.interleave(ours, rival, f"{script} {argument}", rows, batches, times)
        finally:
            rival.stop()

    def interleave(self, ours: Worker, rival: Worker, name: str, rows: int, batches: int, times: int) -> dict[str, Any]:
        """Seconds per row of both, one pair for each repetition. The first of each, which warms up, does not count if there are others."""
        self.say(f"{name}: {rows:,} rows")
        prepared = rival("prepare", rows=rows)
        pairs = []
        for i in range(times + (times > 1)):
            theirs = prepared if "error" in prepared else rival("draw", batches=batches)
            if "error" in theirs:
                self.say(f"  {theirs['error']}")
                return {"error": theirs["error"]}
            mine = ours("draw", **{"from": SECOND_PHASE + i * OUR_BATCHES}, batches=OUR_BATCHES)
            pairs.append([theirs["seconds"] / theirs["rows"], mine["seconds"] / mine["rows"]])
        pairs = pairs[-times:]
        self.say("  ratios " + ", ".join(f"{theirs / mine:.0f}" for theirs, mine in pairs))
        return {"prepare": prepared["seconds"], "pairs": pairs}

    def epochs(self, ours: Worker) -> list[dict[str, Any]]:
        """A whole epoch's sample numbers, against as many rows of ours and the first batch of ours. No difficulty, so no index."""
        results = []
        for rows in SIZES:
            if rows > 10 * MILLION and page.available() < ROOM:
                self.say("not enough memory for an epoch of 10⁸ samples")
                continue
            ours("prepare", curriculum="all", rows=rows, index=False)
            for algorithm in ("py1s", "py1e"):
                times = 5 if rows < 100 * MILLION else 1
                result = self.pair(ours, self._options.streaming, "streaming_epoch.py", algorithm, rows, 0, times)
                first = [ours("draw", **{"from": SECOND_PHASE + i}, batches=1)["seconds"] for i in range(9)]
                results.append({"algorithm": algorithm, "rows": rows, "first": sorted(first)[4], **result})
        return results

    def deepspeed(self, ours: Worker) -> list[dict[str, Any]]:
        """The first batch, steady batches, and the batch that admits one percentile more."""
        results = []
        for rows in SIZES:
            self.say(f"deepspeed_batches.py: {rows:,} rows")
            ours("prepare", curriculum="pool", rows=rows, index=True)
            rival = self.rival(self._options.torch, "deepspeed_batches.py")
            try:
                results.append({"rows": rows, **self._deepspeed(ours, rival, rows)})
            finally:
                rival.stop()
        return results

    def _deepspeed(self, ours: Worker, rival: Worker, rows: int) -> dict[str, Any]:
        prepared = rival("prepare", rows=rows)
        first = prepared if "error" in prepared else rival("draw", batches=1)
        if "error" in first:
            self.say(f"  {first['error']}")
            return {"error": first["error"]}
        pairs, step = [], 1
        for i in range(4):
            theirs = rival("draw", batches=240)
            mine = ours("draw", **{"from": SECOND_PHASE + i * OUR_BATCHES}, batches=OUR_BATCHES)
            pairs.append([theirs["seconds"] / theirs["rows"], mine["seconds"] / mine["rows"]])
            step += 240
        rival("draw", batches=999 - step)
        change = rival("draw", batches=1)
        # Ours changes from one segment to the next: the first batch of the first phase, then one of the second.
        ours("draw", **{"from": 0}, batches=1)
        mine = ours("draw", **{"from": SECOND_PHASE}, batches=1)
        return {"first": first["seconds"], "change": change["seconds"], "ourChange": mine["seconds"], "pairs": pairs}

    def far(self, ours: Worker) -> list[dict[str, Any]]:
        """The cost of a step that is a thousand million steps away."""
        results = []
        for rows in SIZES:
            self.say(f"step 0 and step 10⁹: {rows:,} rows")
            ours("prepare", curriculum="pool", rows=rows, index=True)
            pairs = []
            for i in range(10):
                near, far = (
                    ours("draw", **{"from": first + i * OUR_BATCHES}, batches=OUR_BATCHES) for first in (0, SECOND_PHASE)
                )
                pairs.append([far["seconds"] / far["rows"], near["seconds"] / near["rows"]])
            results.append({"rows": rows, "pairs": pairs[1:]})
        return results

    def many(self, ours: Worker) -> list[dict[str, Any]]:
        """Beyond 2²⁴ rows: which part of the data set the draws fall to."""
        results = []
        for rows, index in ((1 << 24, True), ((1 << 24) + 1, True), (100 * MILLION, True), (1000 * MILLION, False)):
            self.say(f"shares of the data set: {rows:,} rows")
            # Without an index the easy rows are the first ones, and the parts would differ by the curriculum.
            ours("prepare", curriculum="blend" if index else "all", rows=rows, index=index)
            timed = ours("draw", **{"from": SECOND_PHASE}, batches=OUR_BATCHES)
            counts = ours("spread", **{"from": SECOND_PHASE}, batches=4000, parts=8)["counts"]
            result = {"rows": rows, "index": index, "seconds": timed["seconds"] / timed["rows"], "counts": counts}
            if index:
                rival = self.rival(self._options.torch, "torch_draws.py", "multinomial")
                prepared = rival("prepare", rows=rows)
                result["torch"] = prepared if "error" in prepared else rival("spread", batches=4000, parts=8)
                rival.stop()
            results.append(result)
        return results

    def compile(self, ours: Worker) -> list[dict[str, Any]]:
        results = []
        for replay in (False, True):
            self.say(f"compiling 32 phases of 256 refreshes each{', with replay' if replay else ''}")
            runs = [ours("compile", phases=32, replay=replay) for _ in range(51)]
            seconds = [run["seconds"] for run in runs[1:]]
            results.append({"replay": replay, "segments": runs[0]["segments"], "seconds": seconds})
        return results

    def http(self) -> dict[str, Any]:
        self.say("the sampler process over HTTP")
        programs = self._options.programs
        command = [self._options.numpy, str(HERE / "http_path.py"), f"{programs}/curriculum", f"{programs}/examples/attempt"]
        command.append(str(HERE.parent.parent / "python"))
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=self._single, timeout=300)
        return json.loads(done.stdout)

    def versions(self) -> dict[str, str]:
        """Of everything that takes part."""
        asked = {
            "numpy": (self._options.numpy, "import numpy; print(numpy.__version__)"),
            "torch": (self._options.torch, "import torch; print(torch.__version__)"),
            "streaming": (self._options.streaming, "from importlib.metadata import version; print(version('mosaicml-streaming'))"),
            "streamingNumpy": (self._options.streaming, "import numpy; print(numpy.__version__)"),
            "torchNumpy": (self._options.torch, "import numpy; print(numpy.__version__)"),
            "deepspeed": (self._options.torch, "from importlib.metadata import version; print(version('deepspeed'))"),
            "python": (self._options.numpy, "import platform; print(platform.python_version())"),
        }
        return {
            name: subprocess.run([python, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
            for name, (python, code) in asked.items()
        } | {"rust": subprocess.run(["rustc", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("programs", "numpy", "streaming", "torch", "page"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--results", help="also write the numbers to this file, as JSON")
    options = parser.parse_args()
    results = Run(options).all()
    if options.results:
        pathlib.Path(options.results).write_text(json.dumps(results, indent=1) + "\n")
    path = pathlib.Path(options.page)
    path.write_text(page.render(results, path.read_text() if path.exists() else ""))
    print(page.verdict(results))
    print(f"the page is {options.page}", file=sys.stdout)


if __name__ == "__main__":
    main()
