"""What all readers have in common: rows by number, one by one or a batch at once, in any process."""

from __future__ import annotations

import copy
import operator
import os
import threading
from typing import Any, Callable, Iterable, Iterator, Optional, Sequence

#: What is made of a row before it is handed out.
Transform = Callable[[Any], Any]


class Rows:
    """Rows of a data set by their numbers, from 0 on: a map-style data set of PyTorch that needs no PyTorch.

    It may be pickled and may cross a fork: files are opened where they are read, and nothing that is open is shared.
    """

    def __init__(self, count: int, transform: Optional[Transform]) -> None:
        self._count = count
        self._transform = transform
        self._begin()

    def __len__(self) -> int:
        """Number of rows, bad ones included: what the curriculum was planned for."""
        return self._count

    def __getitem__(self, row: int) -> Any:
        """The row of that number; a negative one counts from the end.

        :raises IndexError: when there is no such row.
        :raises BadRow: when the row is none, unless ``bad_rows="none"``.
        """
        return self.__getitems__((row,))[0]

    def __getitems__(self, rows: Iterable[int]) -> list[Any]:
        """Several rows, in the order that they are asked for. Each part of a file is read once: this is where speed comes from."""
        numbers = [self._number(row) for row in rows]
        wanted = sorted(set(numbers))
        if self._process != os.getpid():
            # What a fork left here belongs to the parent, and another thread may have held the lock.
            self._begin()
        with self._lock:
            values = self._read(wanted)
        found = dict(zip(wanted, values))
        if len(wanted) == len(numbers):
            items = [found[number] for number in numbers]
        else:
            # A row that is asked for twice must not change with its twin.
            items = [copy.deepcopy(found[number]) for number in numbers]
        transform = self._transform
        return items if transform is None else [None if item is None else transform(item) for item in items]

    def __iter__(self) -> Iterator[Any]:
        """All rows, from the first to the last."""
        for first in range(0, self._count, 256):
            yield from self.__getitems__(range(first, min(first + 256, self._count)))

    def _number(self, row: int) -> int:
        number = operator.index(row)
        if number < 0:
            number += self._count
        if not 0 <= number < self._count:
            raise IndexError(f"row {row} is asked for, but the data set has {self._count} rows")
        return number

    def _begin(self) -> None:
        """Makes what belongs to this process alone: nothing is open yet."""
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._fresh()

    def _fresh(self) -> None:
        """Forgets open files and what was read from them."""

    def _read(self, rows: Sequence[int]) -> list[Any]:
        """The values of rows whose numbers ascend."""
        raise NotImplementedError

    def _lasting(self) -> dict[str, Any]:
        """What goes into a pickle."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_process", *self._PASSING)}

    #: Names of attributes that :meth:`_fresh` makes.
    _PASSING: tuple[str, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        return self._lasting()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()
