"""The curriculum that is measured, as one weight for each row: what a sampler needs that knows weights only."""

import numpy as np


def weights(rows: int) -> np.ndarray:
    """5 % from all rows, 10 % from the easiest half, the rest from the easiest 60 %; sums to 1 but for rounding. Which rows are easy is random."""
    difficulty = np.random.default_rng(1).random(rows, dtype=np.float32)
    weight = np.full(rows, 0.05 / rows)
    weight[difficulty < 0.5] += 0.10 / (0.5 * rows)
    weight[difficulty < 0.6] += 0.85 / (0.6 * rows)
    return weight
