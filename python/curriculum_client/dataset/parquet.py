"""Rows of Parquet files, through pyarrow: row groups are decoded when rows of them are wanted, and kept within bounds."""

from __future__ import annotations

import bisect
import itertools
import multiprocessing
import os
import warnings
from typing import Any, BinaryIO, Callable, Iterator, Optional, Sequence

from ..errors import CurriculumError, DatasetError
from .cache import Cache, Recent, name_of
from .offsets import Shards
from .rows import Rows, Transform

try:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from .arrow_values import getter
except ImportError as error:
    raise CurriculumError(
        f"rows of Parquet are read with pyarrow, which cannot be imported ({error}): pip install 'curriculum-client[parquet]'"
    ) from error

_OPEN_FILES = 64
#: Rows that are decoded at once of a row group that is too large to be kept, and rows of one batch of a copy.
_STRIDE = 1 << 13
#: Row groups that are decoded once more before that is told.
_AGAIN = 64
#: Fewer rows than these are read one by one from the whole data set, and more by Arrow at once.
_FEW = 32
#: What a batch of a copy counts as: its values stay on the disk.
_MAPPED = 1 << 12


class ParquetRows(Rows):
    """Rows of Parquet files: dictionaries of what ``to_pylist`` gives.

    :param paths: The files, in the order of their rows.
    :param rows: Rows of each; default: what the files say, which is read at once.
    :param memory: Bytes of decoded row groups that each process keeps.
    :param unpack: Bytes that the shared cache may take for copies of the files that need no decoding; 0: none are made.
    """

    _PASSING = ("_files", "_groups", "_firsts", "_known", "_seen", "_again", "_whole", "_apart")

    def __init__(
        self,
        paths: list[str],
        rows: Optional[list[int]],
        columns: Optional[Sequence[str]],
        transform: Optional[Transform],
        memory: int,
        unpack: int,
        cache: Cache,
    ) -> None:
        self._memory, self._cache = memory, cache
        self._names = list(_read(paths[0], pq.read_schema).names if columns is None else columns)
        self._shards = Shards(paths, rows or [_read(path, pq.read_metadata).num_rows for path in paths])
        self._files_with_rows = len(set(self._shards.firsts)) - 1
        # Of each file what its copy may take: all processes must come to the same, without asking each other.
        sizes = [os.path.getsize(path) for path in paths]
        self._shares = [unpack * size // max(1, sum(sizes)) for size in sizes] if unpack else None
        super().__init__(len(self._shards), transform)

    def _fresh(self) -> None:
        self._files = Recent(_OPEN_FILES)
        self._groups = Recent(self._memory)
        self._firsts: dict[int, list[int]] = {}
        # Row groups with rows in them, of the files that were opened.
        self._known = 0
        self._seen: set[tuple[int, int]] = set()
        self._again = 0
        self._whole: Optional[_Values] = None
        # Whether the row groups cannot be put together.
        self._apart = self._shares is not None

    def _read(self, rows: Sequence[int]) -> list[Any]:
        if self._whole is not None:
            return self._whole.rows(rows)
        parts: list[tuple[bool, int, int, int, list[int]]] = []
        at = 0
        for file, inside in self._shards.runs(rows):
            firsts = self._firsts.get(file) or self._file(file).firsts
            for group, wanted in _by_group(inside, firsts):
                parts.append(((file, group) not in self._groups, file, group, at, wanted))
                at += len(wanted)
        values: list[Any] = [None] * len(rows)
        # What is here comes first, for what is decoded takes the place of what was asked for longest ago.
        for _, file, group, at, wanted in sorted(parts, key=lambda part: part[0]):
            values[at : at + len(wanted)] = self._values(file, group, wanted)
        if len(self._groups) > 1 and not self._apart:
            self._put_together()
        return values

    def _values(self, file: int, group: int, rows: list[int]) -> list[Any]:
        """Rows of a row group, by their numbers in it."""
        values = self._groups.get((file, group))
        if values is None:
            opened = self._file(file)
            if not opened.mapped and opened.bytes_of(group) > self._memory:
                return list(opened.pick(group, rows))
            self._tell_again(file, group, opened)
            table = opened.read(group)
            values = _Values(self._names, table.columns)
            self._groups.put((file, group), values, _MAPPED if opened.mapped else table.nbytes)
        return values.rows(rows)

    def _put_together(self) -> None:
        """Once all row groups are here, makes one piece of them: Arrow then takes the rows of a batch at once."""
        if len(self._firsts) < self._files_with_rows or len(self._groups) < self._known:
            return
        keys = [(file, group) for file, firsts in sorted(self._firsts.items()) for group in range(len(firsts) - 1)]
        groups = [self._groups.get(key) for key in keys if self._firsts[key[0]][key[1]] < self._firsts[key[0]][key[1] + 1]]
        if None in groups:
            return
        self._apart = True
        try:
            columns = [pa.chunked_array([group.columns[at] for group in groups]).combine_chunks() for at in range(len(self._names))]
        except (pa.ArrowException, TypeError):
            return  # Columns of other types in other files, or texts of more bytes than one array may have.
        self._whole = _Values(self._names, columns)
        self._groups, self._files = Recent(0), Recent(0)

    def _file(self, file: int) -> _File:
        opened = self._files.get(file)
        if opened is None:
            opened = self._files.put(file, self._open(file))
            if file not in self._firsts:
                self._firsts[file] = opened.firsts
                self._known += len(set(opened.firsts)) - 1
        return opened

    def _open(self, file: int) -> _File:
        path = self._shards.paths[file]
        decoded = _Decoded(path, self._names)
        expected = self._shards.firsts[file + 1] - self._shards.firsts[file]
        if decoded.firsts[-1] != expected:
            raise DatasetError(f"{path} has {decoded.firsts[-1]} rows, but had {expected} before; a data set must not change during a run")
        copy = self._copy(file, decoded) if self._shares else None
        return decoded if copy is None else _Copied(copy)

    def _copy(self, file: int, decoded: _Decoded) -> Optional[str]:
        """A copy of a file in the shared cache, made by the first process that wants it; ``None`` where it has no room."""
        assert self._shares is not None
        path, share = self._shards.paths[file], self._shares[file]
        piece = self._memory // 4
        made = self._cache.file(name_of("arrow", [path], self._names, share), lambda out: decoded.write(out, share, piece))
        if made is not None and os.path.getsize(made) == 0:
            warnings.warn(
                f"the copy of {path} would take more than its share of `unpack`, {share} bytes; its row groups are decoded instead",
                RuntimeWarning,
                stacklevel=2,
            )
            return None
        return made

    def _tell_again(self, file: int, group: int, opened: _File) -> None:
        """Warns once when row groups are decoded again and again, which makes a batch slow."""
        if (file, group) not in self._seen:
            self._seen.add((file, group))
            return
        self._again += not opened.mapped
        if self._again == _AGAIN:
            warnings.warn(
                f"row groups such as number {group} of {self._shards.paths[file]}, {opened.bytes_of(group)} bytes, are decoded again and "
                f"again, since no more than {self._memory} bytes are kept: give more `memory`, or `unpack`, or write smaller row groups",
                RuntimeWarning,
                stacklevel=2,
            )


class _Values:
    """Columns of some rows in memory."""

    def __init__(self, names: list[str], columns: list[Any]) -> None:
        self.columns = [_one(column) for column in columns]
        self._names = names
        self._getters = [getter(column) for column in self.columns]
        plain = not any(isinstance(column, pa.ChunkedArray) for column in self.columns)
        self._batch = pa.RecordBatch.from_arrays(self.columns, names) if plain else None

    def each(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """A few scattered rows."""
        names, getters = self._names, self._getters
        return [dict(zip(names, [get(row) for get in getters])) for row in rows]

    def rows(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """Rows, by the way that is faster for so many."""
        if len(rows) < _FEW or self._batch is None:
            return self.each(rows)
        return self._batch.take(pa.array(rows, pa.int64())).to_pylist()


class _File:
    """An open file. ``firsts``: the first row of each of its groups, and the number of its rows."""

    firsts: list[int]
    mapped = False

    def bytes_of(self, group: int) -> int:
        """Bytes of a group's values in memory, as far as the file tells."""
        raise NotImplementedError

    def read(self, group: int) -> Any:
        """The values of a group."""
        raise NotImplementedError

    def pick(self, group: int, rows: list[int]) -> Iterator[dict[str, Any]]:
        """Ascending rows of a group that is too large to be kept."""
        raise NotImplementedError


class _Decoded(_File):
    """A Parquet file. Nothing is mapped: a file that is cut off while it is read must not end the process."""

    def __init__(self, path: str, names: list[str]) -> None:
        self._path, self._names = path, names
        self._file = _read(path, pq.ParquetFile)
        have = self._file.schema_arrow.names
        for name in names:
            if have.count(name) != 1:
                trouble = "is there twice" if name in have else f"is not there; the columns are {', '.join(have)}"
                raise DatasetError(f"{path}: column `{name}` {trouble}")
        about = self._file.metadata
        self._groups = [about.row_group(group) for group in range(about.num_row_groups)]
        self.firsts = list(itertools.accumulate((group.num_rows for group in self._groups), initial=0))
        wanted = set(names)
        self._places = [at for at in range(about.num_columns) if about.schema.column(at).path.split(".")[0] in wanted]
        # Workers of a loader are as many as they are wanted to be; each needs no threads of its own.
        self._threads = multiprocessing.parent_process() is None

    def bytes_of(self, group: int) -> int:
        columns = self._groups[group]
        return sum(columns.column(at).total_uncompressed_size for at in self._places)

    def read(self, group: int) -> Any:
        table = _read(self._path, lambda _: self._file.read_row_group(group, columns=self._names, use_threads=self._threads))
        return table.select(self._names).combine_chunks()

    def pick(self, group: int, rows: list[int]) -> Iterator[dict[str, Any]]:
        first, at = 0, 0
        for batch in self._batches([group]):
            begin = at
            while at < len(rows) and rows[at] < first + len(batch):
                at += 1
            if at > begin:
                yield from batch.take(pa.array([row - first for row in rows[begin:at]])).select(self._names).to_pylist()
            if at == len(rows):
                return
            first += len(batch)

    def write(self, out: BinaryIO, share: int, piece: int) -> None:
        """Writes all values as they are in memory; nothing when they take more than ``share`` bytes.

        :param piece: Bytes that are written at once: of few large pieces rows are taken faster.
        """
        schema = pa.schema([self._file.schema_arrow.field(name) for name in self._names])
        waiting: list[Any] = []
        with pa.ipc.new_file(out, schema) as writer:
            for batch in self._batches(range(len(self._groups))):
                waiting.append(batch.select(self._names))
                size = sum(one.nbytes for one in waiting)
                if out.tell() + size > share:
                    break
                if size >= piece:
                    writer.write_table(pa.Table.from_batches(waiting).combine_chunks())
                    waiting = []
            else:
                if waiting:
                    writer.write_table(pa.Table.from_batches(waiting).combine_chunks())
                    waiting = []
        if waiting or out.tell() > share:
            out.seek(0)
            out.truncate()

    def _batches(self, groups: Sequence[int]) -> Iterator[Any]:
        batches = self._file.iter_batches(_STRIDE, row_groups=groups, columns=self._names, use_threads=self._threads)
        while True:
            batch = _read(self._path, lambda _: next(batches, None))
            if batch is None:
                return
            yield batch


class _Copied(_File):
    """A copy in the shared cache, mapped: nobody changes it, and all processes share its pages."""

    mapped = True

    def __init__(self, path: str) -> None:
        self._file = pa.ipc.open_file(pa.memory_map(path))
        counts = (self._file.get_batch(group).num_rows for group in range(self._file.num_record_batches))
        self.firsts = list(itertools.accumulate(counts, initial=0))

    def bytes_of(self, group: int) -> int:
        return _MAPPED

    def read(self, group: int) -> Any:
        return self._file.get_batch(group)


def _one(column: Any) -> Any:
    """A column in one piece, where Arrow could make it one."""
    if isinstance(column, pa.ChunkedArray) and column.num_chunks < 2:
        return column.chunk(0) if column.num_chunks else pa.array([], column.type)
    return column


def _by_group(rows: list[int], firsts: list[int]) -> Iterator[tuple[int, list[int]]]:
    """Ascending rows of a file by row groups: the group's number, and row numbers in it."""
    at = 0
    while at < len(rows):
        group = bisect.bisect_right(firsts, rows[at]) - 1
        end = bisect.bisect_left(rows, firsts[group + 1], at)
        yield group, [row - firsts[group] for row in rows[at:end]]
        at = end


def _read(path: str, read: Callable[[str], Any]) -> Any:
    """What ``read`` gives of a path, with the path in its errors."""
    try:
        return read(path)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{path} cannot be read as Parquet: {error}") from error
