"""A table of a data set that the operator does not read itself: one line for each row, which it counts, groups and scores.

Row k of the table is row k of the data set, so the job names the table, and the trainer opens the data set.
"""

from __future__ import annotations

import csv
import json
import os
from typing import Any, Iterable, Optional, Sequence

from ..errors import CurriculumError
from .rows import Rows

_FIRST = ("key", "class", "bytes")


def write(dataset: Rows, out: str, class_name: Optional[str] = None, columns: Sequence[str] = ()) -> int:
    """Writes the table, and returns its number of rows.

    :param dataset: An open data set of format ``WebDataset``, ``Mds`` or ``ImageFolder``, with all its columns.
    :param out: A file whose name ends with ``.csv`` or ``.jsonl``; it is there when it is whole.
    :param class_name: Which file of a sample (default ``cls``) or column holds the class; of image folders it is the folder.
    :param columns: Other files or columns to copy, such as a difficulty: bytes are taken for text.
    :raises CurriculumError: when the data set needs no table, or the name of the file says no format.
    """
    table = getattr(dataset, "table", None)
    if table is None:
        raise CurriculumError("the operator reads this data set itself; give it to the job as it is")
    if not out.endswith((".csv", ".jsonl")):
        raise CurriculumError(f"`{out}` ends with neither .csv nor .jsonl, which says what to write")
    for name in columns:
        if name in _FIRST or list(columns).count(name) > 1:
            raise CurriculumError(f"column `{name}` would stand twice in the table, which has {', '.join(_FIRST)}")
    scratch = f"{out}.{os.getpid()}.tmp"
    try:
        with open(scratch, "w", encoding="utf-8", newline="") as file:
            count = _write(file, table(class_name, columns), [*_FIRST, *columns], out.endswith(".csv"))
        os.replace(scratch, out)
    except BaseException:
        if os.path.exists(scratch):
            os.unlink(scratch)
        raise
    return count


def _write(file: Any, rows: Iterable[dict[str, Any]], names: list[str], as_csv: bool) -> int:
    count = 0
    # In quotes, for a lone carriage return in a name would be the end of a row.
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    if as_csv:
        writer.writerow(names)
    for row in rows:
        values = [_plain(row[name]) for name in names]
        if as_csv:
            writer.writerow("" if value is None else value for value in values)
        else:
            file.write(json.dumps(dict(zip(names, values))) + "\n")
        count += 1
    return count


def _plain(value: Any) -> Any:
    """A value that a table can have."""
    if isinstance(value, bytes):
        return value.decode(errors="replace").strip()
    if isinstance(value, str):
        # A name that is not UTF-8 must not make the table unreadable.
        return value.encode(errors="surrogateescape").decode(errors="replace")
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value)
