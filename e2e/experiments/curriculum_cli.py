"""Calls the `curriculum` program outside of a cluster: makes a score index as the scoring pods do, and draws batches.

The program is $CURRICULUM_BIN, by default `curriculum` on the PATH.
"""

import csv
import json
import os
import subprocess
from pathlib import Path

KEY = "0" * 64


def program():
    """The program."""
    return os.environ.get("CURRICULUM_BIN", "curriculum")


def run(*arguments, task=None):
    """Standard output of a command. Raises subprocess.CalledProcessError when it fails; its own words are on stderr."""
    environment = {**os.environ, "CURRICULUM_LOG": "error"}
    if task:
        environment["CURRICULUM_TASK"] = json.dumps(task)
    return subprocess.run([program(), *arguments], env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def score_index(folder, scores, groups=None, seed=0, combine="MeanRank", lengths=None):
    """Makes the score index of rows with scores (by the scorer's name) and, if given, groups; returns its path.

    ``lengths`` names the scorer whose scores are kept as the rows' lengths in tokens.
    """
    folder = Path(folder)
    columns = {name: [repr(float(score)) for score in column] for name, column in scores.items()}
    if groups is not None:
        columns["group"] = groups
    with open(folder / "rows.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    task = {
        "path": "rows.csv",
        "format": "Csv",
        "datasetKey": KEY,
        "key": KEY,
        "seed": seed,
        "shards": 1,
        "scorers": [{"name": name, "weight": "1", "kind": {"column": {"column": name}}} for name in scores],
        "combine": combine,
        "minCoverage": "1",
    }
    if groups is not None:
        task["groupColumn"] = "group"
    if lengths is not None:
        task["lengthScorer"] = lengths
    store = folder / "store"
    store.mkdir()
    roots = [f"--dataset-root={folder}", f"--store-root={store}", f"--termination-log={folder / 'report.json'}"]
    run("inspect", *roots, task=task)
    run("score", "--shard=0", *roots, task=task)
    run("index", *roots, task=task)
    return store / "index" / KEY / "index.arrow"


def batches(curriculum, rows, steps, seed):
    """Row numbers of the first batches of a curriculum, one list per step; `rows` are the arguments that tell the rows."""
    lines = run("sample", f"--file={curriculum}", *rows, f"--seed={seed}", "--from=0", f"--count={steps}").splitlines()
    return [[int(row) for row in line.split()] for line in lines]
