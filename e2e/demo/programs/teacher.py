#!/usr/bin/env python3
"""The demo's scorer: how surprised is a teacher by a row's label?

The teacher never saw the row that it judges (5-fold cross-fitting), so a wrong label surprises it. Every shard fits
the same teachers to all rows and writes the scores of its own rows only.
"""

import csv
import os
import sys

from digits import read_csv
from models import cross_fitted_losses


def main():
    environment = os.environ
    if environment["CURRICULUM_FORMAT"] != "Csv":
        sys.exit(f"teacher.py reads Csv, not {environment['CURRICULUM_FORMAT']}")
    features, labels = read_csv(environment["CURRICULUM_DATASET"])
    losses = cross_fitted_losses(features, labels, int(environment["CURRICULUM_SEED"]))
    rows = range(int(environment["CURRICULUM_ROW_START"]), int(environment["CURRICULUM_ROW_END"]))
    with open(environment["CURRICULUM_OUTPUT"] + ".csv", "w", newline="", encoding="ascii") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row", "score"])
        writer.writerows((row, repr(float(losses[row]))) for row in rows)
    print(f"scored {len(rows)} of {len(labels)} rows")


if __name__ == "__main__":
    main()
