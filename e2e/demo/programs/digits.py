"""The demo's data: handwritten digits, split into training and test rows, with some training labels wrong.

Owns the CSV layout shared by all programs of the demo: columns p0..p63 (pixels, 0 to 16) and label (0 to 9).
"""

import csv
import os

import numpy as np

CLASSES = 10
PIXELS = 64
TRAIN_SHARE = 0.6
HEADER = [f"p{i}" for i in range(PIXELS)] + ["label"]


def load_original(path):
    """Pixels [n, 64] and labels [n] of the headerless file that scikit-learn ships; gzip if the name ends so."""
    table = np.loadtxt(path, delimiter=",", dtype=np.int64)
    return table[:, :PIXELS], table[:, PIXELS]


def split_with_noise(pixels, labels, noise, seed):
    """Splits 60/40 at random and flips exactly round(noise * n) training labels, each to another class.

    Returns (train pixels, noisy train labels, which of them are flipped, test pixels, clean test labels).
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    cut = int(TRAIN_SHARE * len(labels))
    train, test = order[:cut], order[cut:]
    flipped = np.zeros(cut, dtype=bool)
    flipped[rng.choice(cut, size=round(noise * cut), replace=False)] = True
    noisy = labels[train].copy()
    # Adding 1 to 9 modulo 10 reaches every other class and never the same one.
    noisy[flipped] = (noisy[flipped] + rng.integers(1, CLASSES, size=flipped.sum())) % CLASSES
    return pixels[train], noisy, flipped, pixels[test], labels[test]


def write_csv(path, pixels, labels):
    """Writes a table by rename, so that no reader sees half of it."""
    scratch = f"{path}.partial"
    with open(scratch, "w", newline="", encoding="ascii") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(np.column_stack([pixels, labels]).tolist())
    os.replace(scratch, path)


def read_csv(path):
    """Features [n, 64] scaled to 0..1 and labels [n] of a table written by `write_csv`."""
    with open(path, encoding="ascii") as file:
        header = file.readline().strip().split(",")
        if header != HEADER:
            raise ValueError(f"{path}: expected the columns p0..p63,label")
        table = np.loadtxt(file, delimiter=",", dtype=np.int64, ndmin=2)
    return scale(table[:, :PIXELS]), table[:, PIXELS]


def scale(pixels):
    """Pixels from 0..16 to 0..1."""
    return pixels.astype(np.float64) / 16.0
