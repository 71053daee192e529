"""Where rows begin in their files: found here in one pass and kept for all processes of the machine, or told by the sampler."""

from __future__ import annotations

import bisect
import mmap
import os
import random
import sys
from array import array
from itertools import accumulate
from typing import Any, BinaryIO, Callable, Iterable, Iterator, Optional

from ..client import Sampler
from ..errors import DatasetError
from .cache import Cache, Recent, name_of

#: Finds the rows of a file: file, path → pieces of offsets.
Scan = Callable[[BinaryIO, str], Iterator["array[int]"]]
_WIDTH = 8
_BLOCK = 1 << 16
#: Maps of offsets that are open at once; a process may have some ten thousand.
_OPEN_TABLES = 1024


class Shards:
    """Row numbers run on through the files: which file a row is in.

    :param paths: The files, in the order of their rows.
    :param rows: Rows of each.
    """

    def __init__(self, paths: list[str], rows: Iterable[int]) -> None:
        self.paths = paths
        self.firsts = list(accumulate(rows, initial=0))

    def __len__(self) -> int:
        return self.firsts[-1]

    def place(self, row: int) -> tuple[int, int]:
        """The number of the row's file, and of the row in it."""
        file = bisect.bisect_right(self.firsts, row) - 1
        return file, row - self.firsts[file]

    def runs(self, rows: Iterable[int]) -> Iterator[tuple[int, list[int]]]:
        """Ascending rows by their files: the number of the file, and row numbers in it."""
        inside: list[int] = []
        current, first, end = -1, 0, 0
        for row in rows:
            if row >= end:
                if inside:
                    yield current, inside
                current = bisect.bisect_right(self.firsts, row) - 1
                first, end, inside = self.firsts[current], self.firsts[current + 1], []
            inside.append(row - first)
        if inside:
            yield current, inside


class LocalOffsets:
    """Offsets that a pass over each file finds, kept in the shared cache; in memory where that has no room."""

    def __init__(self, paths: list[str], kind: str, scan: Scan, cache: Cache, *about: Any) -> None:
        self._paths, self._scan, self._cache = paths, scan, cache
        self._kind, self._about = kind, about
        self._names = [self._name(file) for file in range(len(paths))]
        self._memory: dict[int, array[int]] = {}
        self._open = Recent(_OPEN_TABLES)
        # In an order of its own, so that the ranks of a machine divide the work. The program's own chances stay as they are.
        for file in random.Random().sample(range(len(paths)), len(paths)):
            self._kept(file)
        self.rows = [self._count(file) for file in range(len(paths))]

    def ranges(self, file: int, rows: list[int]) -> list[tuple[int, int]]:
        """Where each of the file's rows begins, and where the next one does."""
        table = self._open.get(file)
        if table is None:
            table = self._open.put(file, self._table(file))
        return [(table[row], table[row + 1]) for row in rows]

    def _name(self, file: int) -> str:
        return name_of(self._kind, [self._paths[file]], *self._about)

    def _count(self, file: int) -> int:
        kept = self._kept(file)
        # Behind the offsets stands the file's own length.
        return (os.path.getsize(kept) // _WIDTH if kept else len(self._memory[file])) - 1

    def _table(self, file: int) -> Any:
        kept = self._kept(file)
        if kept is None:
            return self._memory[file]
        with open(kept, "rb") as found:
            return memoryview(mmap.mmap(found.fileno(), 0, access=mmap.ACCESS_READ)).cast("Q")

    def _kept(self, file: int) -> Optional[str]:
        """The path of the offsets of a file; ``None`` when they are in memory."""
        if file in self._memory:
            return None
        kept = self._cache.file(self._names[file], lambda out: self._write(file, out))
        if kept is None:
            table = array("Q")
            for piece in self._pieces(file):
                table.extend(piece)
            self._memory[file] = table
        return kept

    def _pieces(self, file: int) -> Iterator[array[int]]:
        path = self._paths[file]
        if self._name(file) != self._names[file]:
            raise DatasetError(f"{path} has changed since it was opened; a data set must not change during a run")
        with open(path, "rb") as content:
            yield from self._scan(content, path)
            yield array("Q", [os.fstat(content.fileno()).st_size])

    def _write(self, file: int, out: BinaryIO) -> None:
        for piece in self._pieces(file):
            piece.tofile(out)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": Recent(_OPEN_TABLES)}


class SamplerOffsets:
    """Offsets that the sampler knows, asked for in blocks when rows of them are wanted.

    They are kept in a file of the shared cache, 8 bytes for each row, with one byte for each block that says whether it is there. All
    write the same, so nobody needs to wait. Where the cache has no room, 64 blocks stay in memory.
    """

    _tried: bool
    _file: int
    _table: Optional[memoryview]
    _map: Any

    def __init__(self, shards: Shards, sizes: list[int], client: Sampler, cache: Cache) -> None:
        self._shards, self._sizes, self._client, self._cache = shards, sizes, client, cache
        self._blocks = -(-len(shards) // _BLOCK)
        self._name = name_of("sampler-offsets", shards.paths, shards.firsts)
        self._fresh()

    def knows(self) -> bool:
        """Whether the sampler has offsets of these files."""
        return len(self._shards) == 0 or self._client.offsets(0, 1) is not None

    def ranges(self, file: int, rows: list[int]) -> list[tuple[int, int]]:
        """Where each of the file's rows begins, and where the next one does."""
        first, behind = self._shards.firsts[file], self._shards.firsts[file + 1]
        found = []
        for row in rows:
            number = first + row
            end = self._sizes[file] if number + 1 == behind else self._offset(number + 1)
            found.append((self._offset(number), end))
        return found

    def _offset(self, row: int) -> int:
        block = row // _BLOCK
        table = self._kept()
        flag = len(self._shards) * _WIDTH + block
        if table is not None and self._map[flag]:
            return table[row]
        held = self._recent.get(block)
        if held is None:
            held = self._recent.put(block, self._fetch(block))
            if table is not None:
                try:
                    os.pwrite(self._file, held.tobytes(), block * _BLOCK * _WIDTH)
                    # After the block itself, so that whoever sees it finds the block.
                    os.pwrite(self._file, b"\1", flag)
                except OSError:
                    pass  # No room: it stays in memory.
        return held[row % _BLOCK]

    def _fetch(self, block: int) -> array[int]:
        count = min(_BLOCK, len(self._shards) - block * _BLOCK)
        data = self._client.offsets(block * _BLOCK, count)
        if data is None or len(data) != count * _WIDTH:
            raise DatasetError(f"the sampler has no offsets of the rows from {block * _BLOCK} on; open the data set with sampler=False")
        offsets = array("Q")
        offsets.frombytes(data)
        if sys.byteorder == "big":
            offsets.byteswap()
        return offsets

    def _hole(self, out: BinaryIO) -> None:
        out.truncate(len(self._shards) * _WIDTH + self._blocks)

    def _kept(self) -> Optional[memoryview]:
        """The file's offsets, mapped; ``None`` without a file."""
        if not self._tried:
            self._tried = True
            bytes_of_offsets = len(self._shards) * _WIDTH
            path = self._cache.file(self._name, lambda out: self._hole(out))
            if path is not None:
                self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                self._map = mmap.mmap(self._file, 0, access=mmap.ACCESS_READ)
                self._table = memoryview(self._map)[:bytes_of_offsets].cast("Q")
        return self._table

    def _fresh(self) -> None:
        self._tried, self._file, self._table = False, -1, None
        self._recent = Recent(64)

    def __del__(self) -> None:
        if getattr(self, "_file", -1) >= 0:
            os.close(self._file)

    def __getstate__(self) -> dict[str, Any]:
        passing = ("_tried", "_file", "_table", "_map", "_recent")
        return {name: value for name, value in self.__dict__.items() if name not in passing}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._fresh()
