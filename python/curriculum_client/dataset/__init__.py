"""Reads the rows of a data set by their numbers, those that the sampler gives: a map-style data set for PyTorch's ``DataLoader``.

::

    dataset = curriculum_client.dataset.open(transform=encode)      # everything else is in the pod's environment
    sampler = curriculum_client.open_sampler(dataset=dataset)       # compares the number of rows with the plan's
    for batch in sampler.track(DataLoader(dataset, batch_sampler=sampler, num_workers=4)):
        ...

Parquet needs pyarrow, the extra ``parquet``; text needs nothing. A row is what ``docs/data.md`` of the operator says.
"""

from ..errors import BadRow, DatasetError
from .opening import FORMATS
from .opening import open_rows as open  # noqa: A004 - as `gzip.open`
from .rows import Rows

__all__ = ["FORMATS", "BadRow", "DatasetError", "Rows", "open"]
