#!/usr/bin/env python3
"""Writes the demo's data set: train.csv (noisy labels) and test.csv (clean labels).

Exits without touching anything when both files are there, so that the Job may run again.
"""

import argparse
import os

from digits import load_original, split_with_noise, write_csv


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--digits", default="/usr/share/curriculum-demo/digits.csv.gz")
    parser.add_argument("--noise", type=float, default=0.4, help="share of training labels that are made wrong")
    parser.add_argument("--seed", type=int, default=42)
    arguments = parser.parse_args()
    train, test = (os.path.join(arguments.folder, name) for name in ("train.csv", "test.csv"))
    if os.path.exists(train) and os.path.exists(test):
        print("the data set is there already")
        return
    x, y, flipped, test_x, test_y = split_with_noise(
        *load_original(arguments.digits), arguments.noise, arguments.seed
    )
    write_csv(train, x, y)
    write_csv(test, test_x, test_y)
    print(f"{len(y)} training rows, {flipped.sum()} of them with a wrong label; {len(test_y)} test rows")


if __name__ == "__main__":
    main()
