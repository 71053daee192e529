"""MosaicML Streaming: the sample numbers of an epoch, by its own partition and shuffle functions.

``streaming`` itself imports the clients of several object stores. Its shuffles need numpy only, so they are imported without it.
"""

import importlib.util
import sys
import types

root = importlib.util.find_spec("streaming").submodule_search_locations[0]
for name, folder in (("streaming", root), ("streaming.base", f"{root}/base")):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]

import numpy as np  # noqa: E402
from streaming.base.partition import get_partitions  # noqa: E402
from streaming.base.shuffle import get_shuffle  # noqa: E402

from worker import Contender, serve  # noqa: E402

BATCH = 1024
SHARD = 8192


class Epoch(Contender):
    """One node, one rank, one worker. Whatever ``batches`` is, a whole epoch is made: there is no smaller unit."""

    def __init__(self, algorithm):
        self._algorithm = algorithm

    def prepare(self, rows):
        self._rows = rows
        self._shards = np.diff(np.append(np.arange(0, rows, SHARD), rows))
        self._epoch = 0

    def draw(self, batches):
        ids = get_partitions("orig", self._rows, 1, 1, 1, 1, BATCH)
        shuffle = get_shuffle(self._algorithm, self._shards, 1, 9176, self._epoch)
        ids = np.where(ids != -1, shuffle[ids], -1)
        self._epoch += 1
        return int((ids != -1).sum())


serve(lambda: Epoch(sys.argv[1]))
