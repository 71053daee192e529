"""Batches bound by tokens: drawn by the engine in this process, beside the fastest plain numpy for uniform epochs.

Usage: ``token_batches.py ATTEMPT PACKAGES``: the program that makes a plan and an index, and the folder that holds
``curriculum``. Prints medians over rounds in turns, and ratios of the same round.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ATTEMPT, PACKAGES = sys.argv[1:3]
sys.path.insert(0, PACKAGES)

import curriculum  # noqa: E402
import numpy  # noqa: E402

ROWS, CAP, LONGEST = 10_000_000, 2048, 100
BUDGET = 50_000  # about 1,000 rows of 1 to 100 tokens
STEPS, ROUNDS = 3_000, 5


def request(tokens):
    """5 % of a batch from all rows, the rest from the easiest 60 %, as in the other benchmarks."""
    phase = {"name": "more", "pool": {"fraction": "0.6"}, "duration": {"steps": STEPS * (ROUNDS + 1)}}
    spec = {"batchSize": CAP if tokens else 1000, "uniformFloor": "0.05", "phases": [phase]}
    if tokens:
        spec["batchTokens"] = {"budget": BUDGET, "maxLength": LONGEST, "lengthScorer": "tokens"}
    return {"curriculum": spec, "seed": 42, "rows": ROWS, "groups": 1, "phase": 0}


def plan(folder, tokens):
    folder.mkdir()
    subprocess.run([ATTEMPT, folder], input=json.dumps(request(tokens)), text=True, check=True)
    return curriculum.Plan(folder / "plan.json", folder / "store")


def ours(plan, first):
    begin, rows = time.perf_counter(), 0
    for step in range(first, first + STEPS):
        rows += len(plan.batch(step))
    return rows / (time.perf_counter() - begin)


def by_numpy(generator, lengths):
    """An epoch in random order, cut where the running sum of lengths passes the budget; as many batches as ours."""
    begin, rows = time.perf_counter(), 0
    order = generator.permutation(ROWS)
    sums = numpy.cumsum(lengths[order])
    start, before = 0, 0
    for _ in range(STEPS):
        end = min(int(numpy.searchsorted(sums, before + BUDGET, side="right")), start + CAP)
        batch = order[start:end].copy()
        rows += len(batch)
        start, before = end, int(sums[end - 1])
    return rows / (time.perf_counter() - begin)


def main():
    lengths = (1 + 7919 * numpy.arange(ROWS, dtype=numpy.int64) % 100).astype(numpy.int64)
    generator = numpy.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        tokens, fixed = plan(pathlib.Path(folder) / "tokens", True), plan(pathlib.Path(folder) / "fixed", False)
        rounds = []
        for number in range(ROUNDS + 1):
            print(f"round {number + 1} of {ROUNDS + 1}", file=sys.stderr)
            first = number * STEPS
            rounds.append((ours(tokens, first), ours(fixed, first), by_numpy(generator, lengths)))
    rounds = rounds[1:]  # the first warms up
    median = [statistics.median(one[place] for one in rounds) / 1e6 for place in range(3)]
    ratio = [statistics.median(one[0] / one[place] for one in rounds) for place in range(3)]
    print(f"{'BATCHES OF':34} {'M ROWS/S':>9} {'OURS, TOKENS, IS':>17}")
    for name, place in (("50,000 tokens, ours", 0), ("1,000 rows, ours", 1), ("50,000 tokens, numpy, uniform", 2)):
        print(f"{name:34} {median[place]:9.1f} {ratio[place]:16.2f}x")


if __name__ == "__main__":
    main()
