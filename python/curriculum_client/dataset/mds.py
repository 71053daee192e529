"""Samples of MosaicML's MDS shards by number: ``index.json`` says which shards there are, and each begins with where its samples do."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import struct
from array import array
from decimal import Decimal
from typing import Any, Callable, Iterator, Optional, Sequence, Union

from ..errors import DatasetError
from .cache import Handles, Recent
from .offsets import Shards
from .packed import zstandard_module
from .rows import Rows, Transform

_Decode = Callable[[bytes], Any]
_SCALARS = {
    "int": "<q",
    "int8": "<b",
    "int16": "<h",
    "int32": "<i",
    "int64": "<q",
    "uint8": "<B",
    "uint16": "<H",
    "uint32": "<I",
    "uint64": "<Q",
    "float16": "<e",
    "float32": "<f",
    "float64": "<d",
}
_TEXTS: dict[str, _Decode] = {
    "str": lambda data: data.decode(),
    "str_int": lambda data: int(data.decode()),
    "str_float": lambda data: float(data.decode()),
    "str_decimal": lambda data: Decimal(data.decode()),
    "json": lambda data: json.loads(data.decode()),
}
_ARRAY_TYPES = {
    8: "uint8",
    9: "int8",
    16: "uint16",
    17: "int16",
    18: "float16",
    32: "uint32",
    33: "int32",
    34: "float32",
    64: "uint64",
    65: "int64",
    66: "float64",
}
_TABLES = 1024


class MdsRows(Rows):
    """Rows of MDS shards: each column as it was written. Images and pickles are given as their bytes, for ``transform`` to decode.

    :param folder: Where ``index.json`` is.
    :param memory: Bytes of unpacked shards that each process keeps.
    """

    _PASSING = ("_handles", "_tables", "_plain", "_decoders")

    def __init__(self, folder: str, columns: Optional[Sequence[str]], transform: Optional[Transform], memory: int) -> None:
        folder = os.path.abspath(folder)
        try:
            with open(os.path.join(folder, "index.json"), encoding="utf-8") as file:
                self._about = json.load(file)["shards"]
        except (OSError, ValueError, KeyError) as error:
            raise DatasetError(f"{folder} has no index.json of MDS shards: {error}") from error
        self._columns = None if columns is None else list(columns)
        for shard in self._about:
            if shard.get("format") != "mds" or shard.get("version") != 2:
                raise DatasetError(
                    f"{folder}: index.json has shards of format {shard.get('format')}, version {shard.get('version')}; MDS 2 is read"
                )
            for name in self._columns or ():
                if name not in shard["column_names"]:
                    raise DatasetError(f"{folder}: column `{name}` is not there; the columns are {', '.join(shard['column_names'])}")
        self._memory = memory
        paths = [os.path.join(folder, shard["raw_data"]["basename"]) for shard in self._about]
        self._shards = Shards(paths, [shard["samples"] for shard in self._about])
        super().__init__(len(self._shards), transform)

    def _fresh(self) -> None:
        self._handles = Handles()
        self._tables = Recent(_TABLES)
        self._plain = Recent(self._memory)
        self._decoders: dict[int, list[tuple[str, Optional[int], Optional[_Decode]]]] = {}

    def _read(self, rows: Sequence[int]) -> list[Any]:
        values = []
        for shard, inside in self._shards.runs(rows):
            read, begins = self._shard(shard)
            for row in inside:
                values.append(self._decode(shard, read(begins[row], begins[row + 1])))
        return values

    def _shard(self, number: int) -> tuple[Callable[[int, int], bytes], array[int]]:
        """What reads a range of a shard, and where its samples begin."""
        path, count = self._shards.paths[number], self._about[number]["samples"]
        read: Callable[[int, int], bytes] = lambda begin, end: self._handles.read(path, begin, end)  # noqa: E731
        if not os.path.exists(path):
            plain = self._plain.get(number)
            if plain is None:
                plain = self._unpack(number)
                self._plain.put(number, plain, len(plain))
            read = lambda begin, end: plain[begin:end]  # noqa: E731
        begins = self._tables.get(number)
        if begins is None:
            if struct.unpack("<I", read(0, 4))[0] != count:
                raise DatasetError(f"{path} has another number of samples than index.json says, {count}")
            begins = array("I", struct.unpack(f"<{count + 1}I", read(4, 4 * (count + 2))))
            self._tables.put(number, begins)
        return read, begins

    def _unpack(self, number: int) -> bytes:
        about = self._about[number]
        packed, kind = about.get("zip_data"), (about.get("compression") or "").split(":")[0]
        path = self._shards.paths[number]
        if not packed:
            raise DatasetError(f"{path}, which index.json names, does not exist")
        path = os.path.join(os.path.dirname(path), packed["basename"])
        try:
            with open(path, "rb") as file:
                data = file.read()
        except OSError as error:
            raise DatasetError(f"{path}, which index.json names, cannot be read: {error.strerror}") from error
        if kind == "zstd":
            return zstandard_module(path).ZstdDecompressor().decompress(data, max_output_size=about["raw_data"]["bytes"])
        if kind == "gz":
            return gzip.decompress(data)
        if kind == "bz2":
            return bz2.decompress(data)
        raise DatasetError(f"{path} is packed with {kind}, which is not read; unpack the shards, or write them with zstd")

    def _decode(self, shard: int, data: bytes) -> dict[str, Any]:
        columns = self._decoders.get(shard)
        if columns is None:
            columns = self._decoders[shard] = self._columns_of(self._about[shard])
        at = 4 * sum(size is None for _, size, _ in columns)
        sizes = iter(struct.unpack_from(f"<{at // 4}I", data))
        row = {}
        for name, size, decode in columns:
            end = at + (next(sizes) if size is None else size)
            if decode is not None:
                row[name] = decode(data[at:end])
            at = end
        return row if self._columns is None else {name: row[name] for name in self._columns}

    def _columns_of(self, about: dict[str, Any]) -> list[tuple[str, Optional[int], Optional[_Decode]]]:
        """Name, fixed size and decoder of each column; no decoder for one that is not wanted."""
        found = []
        for name, encoding, size in zip(about["column_names"], about["column_encodings"], about["column_sizes"]):
            wanted = self._columns is None or name in self._columns
            found.append((name, size or None, _decoder(encoding) if wanted else None))
        return found

    def table(self, class_name: Optional[str], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Of each row key, class and bytes; see :mod:`.table`."""
        row = 0
        for number, path in enumerate(self._shards.paths):
            read, begins = self._shard(number)
            for inside in range(self._about[number]["samples"]):
                begin, end = begins[inside], begins[inside + 1]
                sample = self._decode(number, read(begin, end)) if class_name or columns else {}
                about = {"key": f"{os.path.basename(path)}:{inside}", "class": sample.get(class_name or ""), "bytes": end - begin}
                yield {**about, **{name: sample.get(name) for name in columns}}
                row += 1


def _decoder(encoding: str) -> _Decode:
    name, _, details = encoding.partition(":")
    if name in _SCALARS:
        unpack = struct.Struct(_SCALARS[name]).unpack
        return lambda data: unpack(data)[0]
    if name in _TEXTS:
        return _TEXTS[name]
    if name == "ndarray":
        kind, _, shape = details.partition(":")
        fixed = tuple(int(length) for length in shape.split(",")) if shape else None
        return lambda data: _array(data, kind or None, fixed)
    return bytes


def _array(data: bytes, kind: Optional[str], shape: Union[tuple[int, ...], Any, None]) -> Any:
    """An array of numpy; type and shape stand before the values where the column does not say them."""
    import numpy  # noqa: PLC0415 - only who has such columns needs it

    at = 0
    if kind is None:
        kind, at = _ARRAY_TYPES[data[0]], 1
    if shape is None:
        lengths = numpy.dtype(("uint8", "uint16", "uint32", "uint64")[data[at] & 3])
        count = data[at] >> 2
        shape = numpy.frombuffer(data, lengths, count, at + 1)
        at += 1 + count * lengths.itemsize
    # A copy, for what a buffer of bytes holds cannot be written to.
    return numpy.frombuffer(data, kind, offset=at).reshape(shape).copy()
