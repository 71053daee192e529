"""Scores the rows of a shard by cross-fitted confidence: ``python -m confidence --label-column=label --text-column=text``."""

from __future__ import annotations

import argparse
from typing import Optional, Sequence

from shard import Arguments, Progress, Shard, cpus, say

from .crossfit import SCORES, cross_fitted
from .features import Features


def arguments(given: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """The command line; what each option means stands in README.md."""
    parser = Arguments(prog="confidence", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--label-column", required=True, metavar="COLUMN", help="column with the class")
    add("--number-columns", default="", metavar="COLUMN,…", help="columns of numbers to judge by")
    add("--embedding-column", metavar="COLUMN", help="column of lists of numbers to judge by")
    add("--text-column", metavar="COLUMN", help="column of texts to judge by")
    add("--score", choices=SCORES, default="confidence", help="the difficulty (%(default)s)")
    add("--folds", type=int, default=5, help="parts of the rows, each judged by a model fitted to the others (%(default)s)")
    add("--strength", type=float, default=1.0, metavar="C", help="inverse of the regularisation (%(default)s)")
    add("--balanced", action="store_true", help="every class weighs the same in the fit, however many rows it has")
    add("--iterations", type=int, default=1000, help="most iterations of a fit (%(default)s)")
    add("--hash-bits", type=int, default=18, help="words are counted in 2 to this power places (%(default)s)")
    add("--jobs", type=int, default=0, help="folds fitted at once (as many as the pod has processors)")
    options = parser.parse_args(given)
    options.number_columns = [name for name in options.number_columns.split(",") if name]
    if not (options.number_columns or options.embedding_column or options.text_column):
        parser.error("nothing to judge by: give --number-columns, --embedding-column or --text-column")
    if options.folds < 2 or options.strength <= 0 or options.iterations < 1 or not 1 <= options.hash_bits <= 30:
        parser.error("--folds is at least 2, --strength above 0, --iterations at least 1, --hash-bits 1 to 30")
    return options


def main(given: Optional[Sequence[str]] = None) -> None:
    """Fits models to all rows and scores those of the shard that the environment names.

    :raises Fault: as the exit codes in the README of scorers/ say.
    """
    options = arguments(given)
    shard = Shard.from_environment()
    features = Features(options.label_column, options.number_columns, options.embedding_column, options.text_column, options.hash_bits)
    progress = Progress(shard.all_files[-1].end if shard.all_files else 0)
    for first, records in shard.read_all(features.columns):
        features.add(records)
        progress.at(first + len(records), " read")
    labels = features.labels()
    if features.without_label or features.without_features:
        say(f"left out: {features.without_label} rows without a label, {features.without_features} without an embedding or a text")
    values = cross_fitted(
        labels,
        features.dense(),
        features.counts(),
        kind=options.score,
        folds=options.folds,
        seed=shard.seed,
        strength=options.strength,
        balanced=options.balanced,
        iterations=options.iterations,
        jobs=options.jobs or cpus(),
    )
    with shard.scores() as out:
        for row in range(shard.start, shard.end):
            out.add(row, float(values[row]))
    say(f"scored {out.written} rows of {len(features.classes)} classes; {out.left_out} have no score")
