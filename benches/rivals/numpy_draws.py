"""numpy: weighted draws by binary search in the cumulative weights, or by ``Generator.choice``."""

import sys

import numpy as np

from weights import weights
from worker import Contender, serve

BATCH = 1024


class SearchSorted(Contender):
    """``searchsorted`` on cumulative weights that were summed up before."""

    def prepare(self, rows):
        self._rng = np.random.default_rng(1)
        self._cumulative = np.cumsum(weights(rows))

    def draw(self, batches):
        cumulative, total = self._cumulative, self._cumulative[-1]
        return sum(len(cumulative.searchsorted(self._rng.random(BATCH) * total, side="right")) for _ in range(batches))


class Choice(Contender):
    """``Generator.choice(rows, size, p=weights)``, which sums the weights up in every call."""

    def prepare(self, rows):
        self._rng = np.random.default_rng(1)
        self._weights = weights(rows)
        self._weights /= self._weights.sum()

    def draw(self, batches):
        rows, weight = len(self._weights), self._weights
        return sum(len(self._rng.choice(rows, BATCH, p=weight)) for _ in range(batches))


serve({"searchsorted": SearchSorted, "choice": Choice}[sys.argv[1]])
