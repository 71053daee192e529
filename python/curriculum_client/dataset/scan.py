"""Where the rows of a text file begin, found in one pass by the rules of docs/data.md.

Whole pieces of a file are cut into lines at once, so that most lines cost no step of the interpreter of their own.
"""

from __future__ import annotations

import re
from array import array
from itertools import accumulate
from typing import BinaryIO, Iterator

from ..errors import DatasetError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
#: White space of a line of JSON Lines that is no row.
BLANK = b" \t\r\n\x0c"
_PIECE = 1 << 20
#: Up to the end of a quoted field, whose quotes stand twice.
_CLOSE = re.compile(rb'[^"]*(?:""[^"]*)*"(?!")')


def json_lines(file: BinaryIO, path: str) -> Iterator[array[int]]:
    """Offsets of the lines that are not blank, in ascending pieces."""
    for base, piece in _pieces(file, _behind_line_feed):
        lines = _lines(piece)
        starts = _starts(lines, base)
        first = lines[0]
        if base == 0 and first.startswith(BYTE_ORDER_MARK):
            lines[0] = first[len(BYTE_ORDER_MARK) :]
        if not all(lines) or any(map(bytes.isspace, lines)):
            starts = array("Q", (start for start, line in zip(starts, lines) if line.strip(BLANK)))
        yield starts


def csv_records(file: BinaryIO, path: str, delimiter: bytes) -> Iterator[array[int]]:
    """Offsets of the records behind the header, in ascending pieces.

    :raises DatasetError: when a quote is never closed.
    """
    header = True
    last = 0
    open_quote = False
    quoted = _Quoted(delimiter)
    for base, piece in _pieces(file, _behind_record_end):
        if base == 0 and piece.startswith(BYTE_ORDER_MARK):
            base, piece = len(BYTE_ORDER_MARK), piece[len(BYTE_ORDER_MARK) :]
        if open_quote or b'"' in piece:
            starts, open_quote = quoted.starts(piece, base, open_quote)
        else:
            if b"\r" in piece and piece.count(b"\r") != piece.count(b"\r\n"):
                # Each of CR, LF and both ends a record, and an empty line is none: so one sign for all finds the same records.
                piece = piece.replace(b"\r", b"\n")
            lines = _lines(piece)
            starts = _starts(lines, base)
            if not all(lines) or b"\r" in lines:
                starts = array("Q", (start for start, line in zip(starts, lines) if line not in (b"", b"\r")))
        if starts:
            last = starts[-1]
            if header:
                starts, header = starts[1:], False
            yield starts
    if open_quote:
        raise DatasetError(
            f"{path}, line {line_of(file, last)}: a quote in the row that begins here is never closed, so that everything behind it "
            "is part of that row; mend the file"
        )


def line_of(file: BinaryIO, offset: int) -> int:
    """The number of the line, from 1 on, that an offset is in."""
    file.seek(0)
    lines, left = 1, offset
    while left > 0 and (data := file.read(min(left, _PIECE))):
        lines += data.count(b"\n")
        left -= len(data)
    return lines


class _Quoted:
    """Finds records in text that has quotes: one in the beginning of a field opens it, elsewhere it has no meaning."""

    def __init__(self, delimiter: bytes) -> None:
        separator = re.escape(delimiter)
        rest = rb"[^%s\r\n]*" % separator
        # The second kind of field begins with anything but a quote; the third is empty.
        field = rb'(?:"[^"]*(?:""[^"]*)*"(?!")%s|[^"%s\r\n]%s|)' % (rest, separator, rest)
        end = rb"(?:[\r\n]|\Z)"
        self._record = re.compile(rb"[\r\n]*(?=[^\r\n])(%s(?:%s%s)*)%s" % (field, separator, field, end))
        self._rest = re.compile(rb"%s(?:%s%s)*%s" % (rest, separator, field, end))

    def starts(self, piece: bytes, base: int, open_quote: bool) -> tuple[array[int], bool]:
        """Offsets of the records that begin in whole lines, and whether a quoted field goes on behind them.

        :param open_quote: Whether the lines begin within a quoted field.
        """
        starts, at = array("Q"), 0
        if open_quote:
            closed = _CLOSE.match(piece)
            rest = None if closed is None else self._rest.match(piece, closed.end())
            if rest is None:
                return starts, True
            at = rest.end()
        for record in iter(self._record.scanner(piece, at).match, None):  # type: ignore[attr-defined]
            starts.append(base + record.start(1))
            at = record.end()
        # What is no record has a quote that is not closed yet.
        behind = len(piece) - len(piece[at:].lstrip(b"\r\n"))
        if behind < len(piece):
            starts.append(base + behind)
        return starts, behind < len(piece)


def _lines(piece: bytes) -> list[bytes]:
    lines = piece.split(b"\n")
    if len(lines) > 1 and not lines[-1]:
        lines.pop()
    return lines


def _starts(lines: list[bytes], base: int) -> array[int]:
    return array("Q", accumulate([len(line) + 1 for line in lines[:-1]], initial=base))


def _pieces(file: BinaryIO, behind: object) -> Iterator[tuple[int, bytes]]:
    """The file in pieces of whole lines, each with its offset. A line is never copied more than a few times, however long it is."""
    base = 0
    parts: list[bytes] = []
    while data := file.read(_PIECE):
        end = behind(data)  # type: ignore[operator]
        if end == 0:
            parts.append(data)
            continue
        piece = b"".join([*parts, data[:end]])
        yield base, piece
        base += len(piece)
        parts = [data[end:]] if end < len(data) else []
    if parts:
        yield base, b"".join(parts)


def _behind_line_feed(data: bytes) -> int:
    return data.rfind(b"\n") + 1


def _behind_record_end(data: bytes) -> int:
    # A CR at the end may be half of a CR LF.
    feed = data.rfind(b"\n")
    return max(feed, data.rfind(b"\r", feed + 1, len(data) - 1)) + 1
