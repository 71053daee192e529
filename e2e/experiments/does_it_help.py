#!/usr/bin/env python3
"""Does a curriculum help? The digits, with more and fewer wrong labels, in orders that `curriculum sample` draws.

usage: does_it_help.py [--seeds N] [--learning-rate R] [--picture FILE]

For every seed, share of wrong labels and number of steps, the same student trains on the batches of each arm: the files in
curricula/, and `stopped`, uniform sampling with early stopping. All arms of a seed share split, wrong labels, scores,
initial weights and the seed of the sampler, so that differences are paired. Prints Markdown tables of accuracies on the
clean test labels after the last step, mean and standard error; draws their way there. Needs requirements.txt.
"""

import argparse
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import curriculum_cli

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "demo" / "programs"))
import models  # noqa: E402
from digits import scale, split_with_noise  # noqa: E402

NOISES = (0.0, 0.2, 0.4)
BUDGETS = (300, 3000)
# Arms, their names in tables, and the shares of wrong labels that they are for.
ARMS = {
    "uniform": ("uniform", NOISES),
    "stopped": ("uniform, stopped early", NOISES),
    "curriculum": ("curriculum", NOISES),
    "random": ("random order, same pacing", NOISES),
    "anti": ("hard first, same pacing", NOISES),
    "held-at-80": ("curriculum, held at the clean share", (0.2,)),
    "held-at-60": ("curriculum, held at the clean share", (0.4,)),
}
# Rows that early stopping sets aside. Their labels are as noisy as the others: clean ones are what one does not have.
HELD_OUT = 200
POINTS = 30


def train(batches, features, labels, test, seed, look=lambda student: None):
    """Trains on batches of row numbers; test accuracies at POINTS evenly spaced steps, the last after the last step."""
    student, every, accuracies = models.Student(seed, len(batches)), len(batches) // POINTS, []
    for rows in batches:
        student.train(features[rows], labels[rows])
        if student.step % every == 0:
            accuracies.append(student.accuracy(*test))
            look(student)
    return accuracies


def stopped(features, labels, test, steps, seed):
    """Uniform sampling of all but HELD_OUT rows. At each of POINTS steps: test accuracy of the checkpoint that was best on the rows
    held out until then, the first if several were."""
    kept, held = np.split(np.random.default_rng([seed, 2]).permutation(len(labels)), [len(labels) - HELD_OUT])
    batches = curriculum_cli.batches(
        HERE / "curricula" / f"{steps}-steps" / "uniform.yaml", ["--rows", str(len(kept))], steps, seed
    )
    seen = []
    accuracies = train(
        [kept[rows] for rows in batches], features, labels, test, seed,
        lambda student: seen.append(student.accuracy(features[held], labels[held])),
    )  # fmt: skip
    return [accuracies[int(np.argmax(seen[: i + 1]))] for i in range(len(seen))]


def measure(seed, noise, results):
    """All arms of a seed and a share of wrong labels."""
    digits = load_digits()
    pixels, labels, flipped, test_pixels, test_labels = split_with_noise(
        digits.data.astype(np.int64), digits.target.astype(np.int64), noise, seed
    )
    features, test = scale(pixels), (scale(test_pixels), test_labels)
    losses = models.cross_fitted_losses(features, labels, seed)
    if noise:
        auc = (losses[flipped][:, None] > losses[~flipped][None, :]).mean()
        results["auc", noise].append(auc)
    with tempfile.TemporaryDirectory() as folder:
        rows = ["--index", str(curriculum_cli.score_index(folder, {"loss": losses}, labels.tolist(), seed))]
        for steps in BUDGETS:
            for arm, (_, noises) in ARMS.items():
                if noise not in noises:
                    continue
                if arm == "stopped":
                    curve = stopped(features, labels, test, steps, seed)
                else:
                    file = HERE / "curricula" / f"{steps}-steps" / f"{arm}.yaml"
                    curve = train(curriculum_cli.batches(file, rows, steps, seed), features, labels, test, seed)
                results[steps, noise, arm].append(curve)


def mean(values, sign=""):
    """Mean and standard error, such as .912 ± .004."""
    values = np.asarray(values)
    error = values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():{sign}.3f} ± {error:.3f}".replace("0.", ".")


def table(names, cell):
    """A Markdown table: a row per arm, a column per share of wrong labels."""
    lines = ["| | " + " | ".join(f"{noise:.0%} wrong" for noise in NOISES) + " |", "|---" * (len(NOISES) + 1) + "|"]
    for name in names:
        cells = []
        for noise in NOISES:
            arm = next((arm for arm, (n, noises) in ARMS.items() if n == name and noise in noises), None)
            cells.append(cell(noise, arm) if arm else "as curriculum")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(results, file):
    """Test accuracy over the steps of the long budget, one panel per share of wrong labels, with standard errors."""
    import matplotlib

    matplotlib.use("svg")
    # The same numbers, the same bytes.
    matplotlib.rcParams.update({"svg.hashsalt": "does-it-help", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot

    steps = BUDGETS[-1]
    colours = {
        "uniform": "#555555", "stopped": "#111111", "curriculum": "#0072b2", "random": "#56b4e9", "anti": "#d55e00",
        "held-at-80": "#009e73", "held-at-60": "#009e73",
    }  # fmt: skip
    figure, panels = pyplot.subplots(1, len(NOISES), figsize=(10, 3.6), sharey=True, layout="constrained")
    lines = {}
    for panel, noise in zip(panels, NOISES):
        for arm, (name, noises) in ARMS.items():
            if noise not in noises:
                continue
            curves = np.array(results[steps, noise, arm])
            at = (np.arange(curves.shape[1]) + 1) * (steps // POINTS)
            middle, error = curves.mean(axis=0), curves.std(axis=0, ddof=1) / np.sqrt(len(curves))
            style = "--" if arm == "stopped" else "-"
            (lines[name],) = panel.plot(at, middle, style, color=colours[arm], linewidth=1.4)
            panel.fill_between(at, middle - error, middle + error, color=colours[arm], alpha=0.2, linewidth=0)
        panel.set_title(f"{noise:.0%} of the labels wrong", fontsize=9)
        panel.set_xlabel("step")
        panel.set_xlim(0, steps)
        panel.set_ylim(0.5, 1)
        panel.grid(color="#dddddd", linewidth=0.5)
    panels[0].set_ylabel("accuracy on clean test labels")
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(file, metadata={"Date": None, "Creator": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="default 10")
    parser.add_argument("--learning-rate", type=float, default=models.LEARNING_RATE, help="of the first step; default 0.05")
    parser.add_argument("--picture", type=Path, help="SVG to write")
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("--seeds must be at least 2: one seed has no standard error")
    models.LEARNING_RATE = arguments.learning_rate

    results = defaultdict(list)
    for seed in range(arguments.seeds):
        for noise in NOISES:
            measure(seed, noise, results)
        print(f"seed {seed} done", file=sys.stderr, flush=True)

    last = {key: np.array(curves)[:, -1] for key, curves in results.items() if key[0] != "auc"}
    names = list(dict.fromkeys(name for name, _ in ARMS.values()))
    for steps in BUDGETS:
        accuracy = {key[1:]: values for key, values in last.items() if key[0] == steps}
        print(f"\n{steps} steps: accuracy\n")
        print(table(names, lambda noise, arm: mean(accuracy[noise, arm])))
        print(f"\n{steps} steps: difference to uniform, paired by seed\n")
        print(table(names[1:], lambda noise, arm: mean(accuracy[noise, arm] - accuracy[noise, "uniform"], "+")))
    print()
    for noise in NOISES[1:]:
        held = next(arm for arm, (_, noises) in ARMS.items() if noises == (noise,))
        difference = last[BUDGETS[-1], noise, held] - last[BUDGETS[-1], noise, "stopped"]
        print(f"{noise:.0%} wrong: AUC of the scores {mean(results['auc', noise])}; held - stopped {mean(difference, '+')}")
    if arguments.picture:
        draw(results, arguments.picture)


if __name__ == "__main__":
    main()
