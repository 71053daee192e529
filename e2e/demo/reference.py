#!/usr/bin/env python3
"""What the demo should find, measured without any operator: the same data, teacher and student in one process.

usage: reference.py DIGITS.csv.gz [SEEDS]

Prints test accuracy after the last step for uniform sampling and for the curriculum, one line per seed, then means,
standard errors and the paired difference. "at best" is the best of uniform's accuracies at every 100th step: what
early stopping could reach if it knew the test labels. Needs numpy; about a second per seed on one core.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent / "programs"))
from digits import CLASSES, load_original, scale, split_with_noise  # noqa: E402
from models import Student, cross_fitted_losses  # noqa: E402

STEPS, BATCH, NOISE = 3000, 64, 0.4


def curriculum_fraction(step):
    """The phases of config/samples/digits-curriculum.yaml: easy, grow, hold."""
    if step < 300:
        return 0.2
    return 0.2 + 0.4 * min((step - 300) / 1200, 1.0)


def uniform_fraction(_step):
    return 1.0


def admitted(order_by_class, fraction):
    """The easiest share of every class."""
    return np.concatenate([rows[: int(np.ceil(fraction * len(rows)))] for rows in order_by_class])


def run(train, test, order_by_class, fraction_at, seed):
    """Test accuracy at every 100th step. Rows are drawn in passes over the pool, shuffled anew for every pass."""
    (features, labels), rng = train, np.random.default_rng([seed, 1])
    student, queue, pool_size, accuracies = Student(seed, STEPS), np.empty(0, dtype=np.int64), -1, []
    for step in range(STEPS):
        pool = admitted(order_by_class, fraction_at(step))
        if len(pool) != pool_size:
            queue, pool_size = queue[:0], len(pool)
        while len(queue) < BATCH:
            queue = np.concatenate([queue, rng.permutation(pool)])
        batch, queue = queue[:BATCH], queue[BATCH:]
        student.train(features[batch], labels[batch])
        if student.step % 100 == 0:
            accuracies.append(student.accuracy(*test))
    return accuracies


def main():
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    pixels, labels = load_original(sys.argv[1])
    results = []
    for seed in range(seeds):
        x, y, flipped, test_x, test_y = split_with_noise(pixels, labels, NOISE, seed)
        train, test = (scale(x), y), (scale(test_x), test_y)
        losses = cross_fitted_losses(*train, seed)
        clean, wrong = losses[~flipped], losses[flipped]
        auc = (wrong[:, None] > clean[None, :]).mean()
        by_class = [np.flatnonzero(y == c) for c in range(CLASSES)]
        order = [rows[np.argsort(losses[rows], kind="stable")] for rows in by_class]
        uniform = run(train, test, order, uniform_fraction, seed)
        curriculum = run(train, test, order, curriculum_fraction, seed)
        results.append((uniform[-1], curriculum[-1], max(uniform)))
        print(
            f"seed {seed}  uniform {uniform[-1]:.3f} (at best {max(uniform):.3f})  curriculum {curriculum[-1]:.3f}"
            f"  teacher's AUC {auc:.3f}",
            flush=True,
        )
    values = np.array(results)
    paired = values[:, 1] - values[:, 0]

    def summary(v):
        return f"{v.mean():.3f} +- {v.std(ddof=1) / np.sqrt(len(v)):.3f}"

    print(
        f"mean    uniform {summary(values[:, 0])} (at best {summary(values[:, 2])})"
        f"  curriculum {summary(values[:, 1])}  difference {summary(paired)}"
    )


if __name__ == "__main__":
    main()
