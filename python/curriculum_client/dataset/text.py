"""Rows of CSV and JSON Lines, read at the places where they begin."""

from __future__ import annotations

import json
import os
import re
from functools import partial
from typing import Any, Iterator, Optional, Sequence, Union

from ..errors import BadRow, DatasetError
from .cache import Handles
from .offsets import LocalOffsets, SamplerOffsets, Shards
from .rows import Rows, Transform
from .scan import BYTE_ORDER_MARK, csv_records, json_lines, line_of

#: Rows that are no further from each other are read at once, with what is between them.
_GAP = 1 << 14
_MOST_AT_ONCE = 1 << 22


class TextRows(Rows):
    """Rows of text files.

    :param labels: How messages name the files, when they are not those of the user.
    :param skip_bad: Whether a bad row is ``None`` instead of an error.
    """

    _PASSING: tuple[str, ...] = ("_handles",)

    def __init__(
        self,
        shards: Shards,
        offsets: Union[LocalOffsets, SamplerOffsets],
        columns: Optional[Sequence[str]],
        transform: Optional[Transform],
        skip_bad: bool,
        labels: Optional[list[str]] = None,
    ) -> None:
        self._shards, self._offsets = shards, offsets
        self._columns = None if columns is None else list(columns)
        self._skip_bad = skip_bad
        self._labels = labels or shards.paths
        super().__init__(len(shards), transform)

    def _fresh(self) -> None:
        self._handles = Handles()

    def _read(self, rows: Sequence[int]) -> list[Any]:
        values: list[Any] = []
        for file, inside in self._shards.runs(rows):
            places = self._offsets.ranges(file, inside)
            for row, (begin, _), data in zip(inside, places, self._bytes(file, places)):
                try:
                    values.append(self._parse(file, self._text(data, begin)))
                except _Bad as bad:
                    if not self._skip_bad:
                        raise self._explain(file, row, begin, data, str(bad)) from None
                    values.append(None)
        return values

    def _bytes(self, file: int, places: list[tuple[int, int]]) -> Iterator[bytes]:
        """The bytes of ascending ranges, neighbours read at once."""
        path, at, count = self._shards.paths[file], 0, len(places)
        while at < count:
            first, end = places[at]
            behind = at + 1
            while behind < count and places[behind][0] <= end + _GAP and places[behind][1] <= first + _MOST_AT_ONCE:
                end = places[behind][1]
                behind += 1
            data = self._handles.read(path, first, end)
            if behind == at + 1:
                yield data
            else:
                for begin, stop in places[at:behind]:
                    yield data[begin - first : stop - first]
            at = behind

    @staticmethod
    def _text(data: bytes, begin: int) -> str:
        if begin == 0 and data.startswith(BYTE_ORDER_MARK):
            data = data[len(BYTE_ORDER_MARK) :]
        try:
            return data.decode()
        except UnicodeDecodeError:
            # They cost their own value, not the row.
            return data.decode(errors="replace")

    def _parse(self, file: int, text: str) -> dict[str, Any]:
        raise NotImplementedError

    def _explain(self, file: int, row: int, begin: int, data: bytes, what: str) -> BadRow:
        path = self._shards.paths[file]
        with open(path, "rb") as content:
            # An offset of the sampler may be that of empty lines before the row.
            line = line_of(content, begin + len(data) - len(data.lstrip(b"\r\n")))
        return BadRow(
            f"{self._labels[file]}, line {line} (row {self._shards.firsts[file] + row}): {what}; mend the file, or give "
            'bad_rows="none" to get None for such rows'
        )


class _Bad(Exception):
    """What is wrong with a row."""


class JsonRows(TextRows):
    """A row is what ``json`` makes of its line."""

    def _parse(self, file: int, text: str) -> dict[str, Any]:
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise _Bad(f"it is not valid JSON: {error.msg} at column {error.colno}") from None
        except RecursionError:
            raise _Bad("its lists or objects are nested too deeply for Python's json") from None
        except ValueError:
            # A whole number with more digits than Python converts: like others beyond double precision, it costs its own value.
            value = json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 4300 else float(digits))
        if not isinstance(value, dict):
            raise _Bad("it is not a JSON object")
        return value if self._columns is None else {name: value.get(name) for name in self._columns}


class CsvRows(TextRows):
    """A row is its fields by the names of the header, all of them texts."""

    def __init__(self, *arguments: Any, delimiter: str, **options: Any) -> None:
        self._delimiter = delimiter
        self._opening = delimiter + '"'
        super().__init__(*arguments, **options)
        for file, first in enumerate(self._shards.firsts[1:]):
            if first > self._shards.firsts[file]:
                names, _ = self._header(file)
                self._columns = self._columns or names
                break

    def _fresh(self) -> None:
        super()._fresh()
        self._headers: dict[int, tuple[list[str], Optional[list[int]]]] = {}

    _PASSING = ("_handles", "_headers")

    def _parse(self, file: int, text: str) -> dict[str, Any]:
        names, places = self._headers.get(file) or self._header(file)
        text = text.strip("\r\n") if text[:1] in ("\r", "\n") else text.rstrip("\r\n")
        fields = text.split(self._delimiter) if '"' not in text else self._fields(text)
        if len(fields) != len(names):
            raise _Bad(f"it has {len(fields)} {'field' if len(fields) == 1 else 'fields'}, the header has {len(names)}")
        if places is None:
            return dict(zip(names, fields))
        assert self._columns is not None
        return {name: fields[place] for name, place in zip(self._columns, places)}

    def _header(self, file: int) -> tuple[list[str], Optional[list[int]]]:
        """Names of a file's columns, and the places of those that are wanted; ``None`` when they are all, in this order."""
        end = self._offsets.ranges(file, [0])[0][0]
        text = self._text(self._handles.read(self._shards.paths[file], 0, end), 0).strip("\r\n")
        names = self._fields(text)
        wanted = names if self._columns is None else self._columns
        for name in wanted:
            if names.count(name) != 1:
                trouble = "stands twice in the header" if name in names else f"is not in the header, which has {', '.join(names)}"
                raise DatasetError(f"{self._labels[file]}: column `{name}` {trouble}; name those that you want in `columns`")
        places = None if wanted == names else [names.index(name) for name in wanted]
        self._headers[file] = names, places
        return names, places

    def _fields(self, text: str) -> list[str]:
        """The fields of a record, of which some are in quotes."""
        fields, at, delimiter = [], 0, self._delimiter
        while True:
            value = ""
            if text[at : at + 1] == '"':
                closed = _QUOTED.match(text, at + 1)
                if closed is None:
                    # The scan refuses such a file; this one has changed since.
                    raise _Bad("a quote in it is never closed")
                value = closed.group(1).replace('""', '"')
                at = closed.end()
            end = text.find(delimiter, at)
            if end < 0:
                fields.append(value + text[at:])
                return fields
            fields.append(value + text[at:end])
            at = end + len(delimiter)


_QUOTED = re.compile(r'([^"]*(?:""[^"]*)*)"(?!")')


def scan_of(format: str, delimiter: str) -> Any:
    """What finds the rows of such files."""
    return json_lines if format == "JsonLines" else partial(csv_records, delimiter=delimiter.encode())


def delimiter_of(path: str) -> str:
    """What separates fields where nothing is said: a tab in ``.tsv``, else a comma."""
    name = os.path.basename(path)
    return "\t" if name.endswith((".tsv", ".tsv.gz", ".tsv.zst")) else ","
