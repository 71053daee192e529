"""Samples of WebDataset shards by number: consecutive files of a tar archive whose names are the same up to the first dot."""

from __future__ import annotations

import os
import re
from array import array
from typing import Any, BinaryIO, Callable, Iterator, NamedTuple, Optional, Sequence

from ..errors import DatasetError
from .cache import Cache, Handles
from .offsets import LocalOffsets, Shards
from .packed import packing
from .rows import Rows, Transform

_BLOCK = 512
_NAME = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)", re.DOTALL)
#: Files of the tools that write shards.
_META = re.compile(r"__[^/]*__(?:$|/)")
_REGULAR = (b"0", b"\0", b"7")


class TarRows(Rows):
    """Rows of WebDataset shards: ``__key__``, and the bytes of each file by its extension in small letters.

    The archives are scanned once for where samples begin, which the processes of the machine share.
    """

    _PASSING = ("_handles",)

    def __init__(self, paths: list[str], columns: Optional[Sequence[str]], transform: Optional[Transform], cache: Cache) -> None:
        for path in paths:
            packed = packing(path)
            if packed is not None:
                raise DatasetError(
                    f"{path} is packed with {packed}, so that no sample can be read without all those before it; unpack the shard"
                )
        self._columns = None if columns is None else list(columns)
        self._offsets = LocalOffsets(paths, "WebDataset", _scan, cache)
        self._shards = Shards(paths, self._offsets.rows)
        super().__init__(len(self._shards), transform)

    def _fresh(self) -> None:
        self._handles = Handles()

    def _read(self, rows: Sequence[int]) -> list[Any]:
        values = []
        for file, inside in self._shards.runs(rows):
            path = self._shards.paths[file]
            for begin, end in self._offsets.ranges(file, inside):
                values.append(self._sample(path, self._handles.read(path, begin, end)))
        return values

    def _sample(self, path: str, data: bytes) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, suffix, member in _files(lambda at, count: data[at : at + count], len(data), path):
            if not found:
                found["__key__"] = key
            name = suffix.lower()
            if name in found:
                raise DatasetError(f"{path}: sample `{key}` has two files `.{name}`")
            found[name] = data[member.data : member.data + member.size]
        return found if self._columns is None else {name: found.get(name) for name in self._columns}

    def table(self, class_name: Optional[str], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Of each row key, class and bytes; see :mod:`.table`."""
        class_name = class_name or "cls"
        for path in self._shards.paths:
            with open(path, "rb") as file:
                for key, sizes, content in _samples(file, path, {class_name, *columns}):
                    about = {"key": key, "class": content.get(class_name), "bytes": sum(sizes)}
                    yield {**about, **{name: content.get(name) for name in columns}}


class _Member(NamedTuple):
    """A file of an archive: where its headers begin, its data, and how many there are."""

    start: int
    name: str
    regular: bool
    data: int
    size: int


def _scan(file: BinaryIO, path: str) -> Iterator[array[int]]:
    handle, starts, last = file.fileno(), array("Q"), None
    for key, _, member in _files(lambda at, count: os.pread(handle, count, at), os.fstat(handle).st_size, path):
        if key != last:
            starts.append(member.start)
            last = key
    yield starts


def _samples(file: BinaryIO, path: str, wanted: set[str]) -> Iterator[tuple[str, list[int], dict[str, bytes]]]:
    """Of each sample its key, the sizes of its files, and the content of those that are wanted: nothing else is read."""
    handle, current = file.fileno(), None
    sizes: list[int] = []
    content: dict[str, bytes] = {}
    for key, suffix, member in _files(lambda at, count: os.pread(handle, count, at), os.fstat(handle).st_size, path):
        if key != current:
            if current is not None:
                yield current, sizes, content
            current, sizes, content = key, [], {}
        sizes.append(member.size)
        if suffix.lower() in wanted:
            content[suffix.lower()] = os.pread(handle, member.size, member.data)
    if current is not None:
        yield current, sizes, content


def _files(read: Callable[[int, int], bytes], end: int, path: str) -> Iterator[tuple[str, str, _Member]]:
    """Key, extension and place of each file that belongs to a sample. ``end``: how many bytes there are."""
    for member in _members(read, path):
        if member.data + member.size > end:
            raise DatasetError(f"{path} is cut off: `{member.name}`, at byte {member.data}, has {member.size} bytes")
        named = _NAME.fullmatch(member.name)
        if member.regular and named and not _META.match(member.name):
            yield named.group(1), named.group(2), member


def _members(read: Callable[[int, int], bytes], path: str) -> Iterator[_Member]:
    """What is in an archive, read header by header."""
    at, start = 0, None
    name: Optional[str] = None
    size: Optional[int] = None
    while True:
        header = read(at, _BLOCK)
        if not header or header.count(0) == len(header):
            return
        if not _is_header(header):
            raise DatasetError(f"{path} is no tar archive, or damaged: there is no header at byte {at}")
        kind, own_size, data = header[156:157], _number(header[124:136]), at + _BLOCK
        start = at if start is None else start
        if kind in (b"x", b"L"):
            about = read(data, own_size)
            if kind == b"L":
                name = about.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
            else:
                entries = _extended(about)
                name = entries.get("path", name)
                size = int(entries["size"]) if "size" in entries else size
            at = data + _whole(own_size)
            continue
        if kind in (b"g", b"K"):
            at = data + _whole(own_size)
            continue
        if kind == b"S":
            raise DatasetError(f"{path} has a sparse file in it, which is not read; write it again without --sparse")
        size = own_size if size is None else size
        own = _text(header[:100]) if name is None else name
        prefix = _text(header[345:500]) if name is None and header[257:263] == b"ustar\0" else ""
        own = f"{prefix}/{own}" if prefix else own
        regular = kind in _REGULAR and not (kind == b"\0" and own.endswith("/"))
        yield _Member(start, own, regular, data, size)
        # Links and folders have no data, whatever their headers say.
        at = data + (_whole(size) if kind not in (b"1", b"2", b"3", b"4", b"5", b"6") else 0)
        start, name, size = None, None, None


def _is_header(block: bytes) -> bool:
    """Whether the sum is right that a header has of its own bytes, those of the sum taken for blanks."""
    own = block[148:156]
    try:
        return len(block) == _BLOCK and sum(block) - sum(own) + len(own) * 32 == _number(own)
    except ValueError:
        return False


def _extended(data: bytes) -> dict[str, str]:
    """Entries of a header of POSIX.1-2001: ``LENGTH NAME=VALUE`` and a line feed each."""
    entries, at = {}, 0
    while at < len(data) and data[at : at + 1].isdigit():
        length = int(data[at : data.index(b" ", at)])
        entry = data[data.index(b" ", at) + 1 : at + length - 1]
        name, _, value = entry.partition(b"=")
        entries[name.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
        at += length
    return entries


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        return int.from_bytes(field, "big") & ~(0x80 << 8 * (len(field) - 1))
    digits = field.strip(b" \0")
    return int(digits, 8) if digits else 0


def _whole(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
