"""PyTorch: ``torch.multinomial`` with replacement, and the ``WeightedRandomSampler`` that a DataLoader is given."""

import sys

import torch
from torch.utils.data import BatchSampler, WeightedRandomSampler

from weights import weights
from worker import Contender, serve

BATCH = 1024

torch.set_num_threads(1)


class Multinomial(Contender):
    """All draws of one call as a tensor: the weights are summed up once."""

    def prepare(self, rows):
        torch.manual_seed(1)
        self._weights = torch.from_numpy(weights(rows))
        self._rows = rows

    def draw(self, batches):
        return len(torch.multinomial(self._weights, batches * BATCH, replacement=True))

    def spread(self, batches, parts):
        drawn = torch.multinomial(self._weights, batches * BATCH, replacement=True)
        return torch.bincount(drawn // -(-self._rows // parts), minlength=parts).tolist()


class Sampler(Multinomial):
    """The same draws as batches of Python integers, which is what a DataLoader takes."""

    def draw(self, batches):
        sampler = WeightedRandomSampler(self._weights, batches * BATCH, replacement=True)
        return sum(len(batch) for batch in BatchSampler(sampler, BATCH, drop_last=True))


serve({"multinomial": Multinomial, "sampler": Sampler}[sys.argv[1]])
