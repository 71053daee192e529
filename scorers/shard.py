"""One shard of a scorer in a container: which rows it has, how they are read, where their scores go, and with which code it ends.

::

    shard = Shard.from_environment()                                  # the variables of docs/scorers.md
    with shard.scores() as scores:
        for first, records in shard.read(["text"]):                   # row numbers of the whole data set
            for row, record in enumerate(records, first):
                scores.add(row, difficulty(record))                   # `None` and what is not finite are left out

Rows are read by ``curriculum_client.dataset``, so that a row is what ``docs/data.md`` says, in every format of the operator.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import sys
import time
import traceback
from dataclasses import dataclass
from typing import Any, Callable, Iterator, NoReturn, Optional, Sequence

from curriculum_client import dataset
from curriculum_client.errors import CurriculumError, DatasetError

#: Exit codes of docs/scorers.md: the data set itself is unusable; scoring has failed and another try would too.
DATA_FAULT, SCORER_FAULT = 65, 66
#: Any other code: the shard is tried again.
TRY_AGAIN = 1
#: Bytes that unpacked copies of packed text may take in the temporary folder: such text cannot be read otherwise.
_UNPACK = 1 << 50
_CPU_LIMIT = "/sys/fs/cgroup/cpu.max"


class Fault(Exception):
    """Ends the scorer with words for its user, and an exit code.

    :param message: What is wrong and what to do. It goes to the log, so it never has a sample in it.
    :param code: :data:`SCORER_FAULT`, :data:`DATA_FAULT` or :data:`TRY_AGAIN`.
    """

    def __init__(self, message: str, code: int = SCORER_FAULT) -> None:
        super().__init__(message)
        self.code = code


class Arguments(argparse.ArgumentParser):
    """A parser of the command line whose errors end the scorer for good: argparse ends with 2, and the shard would be tried again."""

    def error(self, message: str) -> NoReturn:
        """:raises Fault: always."""
        raise Fault(f"{self.prog}: {message}")


@dataclass(frozen=True)
class FileOfRows:
    """A file of the data set: it holds the rows ``start`` up to, but not including, ``end``, counted over the whole data set."""

    path: str
    start: int
    end: int


@dataclass(frozen=True)
class Shard:
    """The rows ``start`` up to, but not including, ``end``.

    :param files: The files that hold them, in the order of their rows.
    :param all_files: All files of the data set; ``None`` when the operator did not say.
    :param format: ``Parquet``, ``Csv`` or ``JsonLines``.
    :param delimiter: What separates fields of CSV.
    :param seed: The job's seed.
    :param output: Path of the scores, without extension.
    """

    start: int
    end: int
    files: tuple[FileOfRows, ...]
    all_files: Optional[tuple[FileOfRows, ...]]
    format: str
    delimiter: Optional[str]
    seed: int
    output: str

    @classmethod
    def from_environment(cls, environment: Optional[dict[str, str]] = None) -> Shard:
        """The shard that the operator's variables describe.

        :raises Fault: when one of them is missing.
        """
        given = dict(os.environ) if environment is None else environment
        try:
            files = _listed(given["CURRICULUM_FILES"])
            alone = int(given.get("CURRICULUM_SHARD_COUNT", "1")) == 1
            everything = _listed(given["CURRICULUM_ALL_FILES"]) if "CURRICULUM_ALL_FILES" in given else files if alone else None
            return cls(
                start=int(given["CURRICULUM_ROW_START"]),
                end=int(given["CURRICULUM_ROW_END"]),
                files=files,
                all_files=everything,
                format=given["CURRICULUM_FORMAT"],
                delimiter=given.get("CURRICULUM_DELIMITER"),
                seed=int(given.get("CURRICULUM_SEED", "0")),
                output=given["CURRICULUM_OUTPUT"],
            )
        except KeyError as missing:
            raise Fault(f"{missing.args[0]} is not set: this program is started by the operator, or as docs/scorers.md shows") from None
        except ValueError:
            raise Fault("a CURRICULUM_ variable that is a number has something else in it") from None

    @property
    def rows(self) -> int:
        """Number of rows of the shard."""
        return self.end - self.start

    def read(self, columns: Sequence[str], size: int = 4096) -> Iterator[tuple[int, list[Optional[dict[str, Any]]]]]:
        """The shard's rows in order, ``size`` at a time: the number of the first one, and records by column.

        A record is ``None`` where the row is a bad one. Values are texts in CSV, and what Parquet and JSON make of them elsewhere.

        :raises Fault: when a column is not there (66), when the data cannot be read (65), or the disk failed (1).
        """
        yield from self._read(self.files, columns, self.start, self.end, size)

    def read_all(self, columns: Sequence[str], size: int = 4096) -> Iterator[tuple[int, list[Optional[dict[str, Any]]]]]:
        """The same for the rows of the whole data set.

        :raises Fault: as :meth:`read`, and when the operator did not say which files there are.
        """
        if self.all_files is None:
            raise Fault(
                "CURRICULUM_ALL_FILES is not set, so that the rows of other shards are not known: use a newer operator or `shards: 1`"
            )
        # Of an object store, a pod has copies of the files with its own rows only.
        own = set(self.files)
        gone = [file.path for file in self.all_files if file not in own and file.start < file.end and not os.path.isfile(file.path)]
        if gone:
            raise Fault(
                f"{len(gone)} files of the data set are not there, such as {gone[0]}, but rows of all shards are needed: use `shards: 1`"
            )
        if self.all_files:
            yield from self._read(self.all_files, columns, self.all_files[0].start, self.all_files[-1].end, size)

    def scores(self) -> Scores:
        """Where the scores go."""
        return Scores(self.output + ".csv")

    def _read(
        self, files: Sequence[FileOfRows], columns: Sequence[str], start: int, end: int, size: int
    ) -> Iterator[tuple[int, list[Optional[dict[str, Any]]]]]:
        files = [file for file in files if file.start < file.end]
        if start >= end or not files:
            return
        base = files[0].start
        row = start
        try:
            rows = self._open(files, list(dict.fromkeys(columns)))
            if len(rows) != files[-1].end - base:
                words = f"{len(rows)} rows were found where {files[-1].end - base} were counted: the data changed during the run"
                raise Fault(words, DATA_FAULT)
            while row < end:
                records = rows.__getitems__(range(row - base, min(row + size, end) - base))
                yield row, records
                row += len(records)
        except CurriculumError as error:
            raise self._fault(error, files, row - base) from error

    def _open(self, files: Sequence[FileOfRows], columns: Optional[list[str]]) -> dataset.Rows:
        unpack = 0 if self.format == "Parquet" else _UNPACK
        paths = [file.path for file in files]
        for path in paths:
            if not os.path.isfile(path):
                raise Fault(f"{path}, a file of the data set, is not there", TRY_AGAIN)
        return dataset.open(paths, self.format, columns, delimiter=self.delimiter, bad_rows="none", unpack=unpack, sampler=False)

    def _fault(self, error: CurriculumError, files: Sequence[FileOfRows], place: int) -> Fault:
        """Whose fault it is: the disk's, that of the columns which were asked for, or the data's."""
        # Of damaged Parquet, Arrow says an error of this kind too, but without the system's number.
        if isinstance(error.__cause__, OSError) and error.__cause__.errno is not None:
            return Fault(str(error), TRY_AGAIN)
        if not isinstance(error, DatasetError):
            return Fault(str(error))
        try:
            self._open(files, None)[place]
        except CurriculumError:
            return Fault(str(error), DATA_FAULT)
        return Fault(str(error))


class Scores:
    """A CSV file of scores, which has its name only once it is whole.

    :param path: The file, with its extension.
    """

    def __init__(self, path: str) -> None:
        self._path, self._scratch = path, f"{path}.part"
        self.written = self.left_out = 0

    def __enter__(self) -> Scores:
        self._file = open(self._scratch, "w", encoding="ascii", newline="")
        self._file.write("row,score\n")
        return self

    def add(self, row: int, score: Optional[float]) -> None:
        """One row; ``None``, NaN and infinities are left out, and count against ``minCoverage``."""
        if score is None or not math.isfinite(score):
            self.left_out += 1
            return
        self.written += 1
        # `repr` gives the shortest text that is read as the same number.
        self._file.write(f"{row},{float(score)!r}\n")

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        self._file.close()
        if kind is None:
            os.replace(self._scratch, self._path)
        else:
            os.unlink(self._scratch)


class Progress:
    """Says how far it is, at most every ``every`` seconds.

    :param total: Number of rows to score.
    """

    def __init__(self, total: int, every: float = 30.0) -> None:
        self._total, self._every = total, every
        self._begin = self._last = time.monotonic()

    def at(self, done: int, more: str = "") -> None:
        """``done`` rows have been looked at."""
        now = time.monotonic()
        if now - self._last >= self._every or done >= self._total:
            self._last = now
            say(f"{done} of {self._total} rows in {now - self._begin:.0f} s{more}")


def text_of(value: Any) -> Optional[str]:
    """A value as a text to measure, by the table of docs/data.md; ``None`` when it is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return None


def label_of(value: Any) -> Optional[str]:
    """A value as the name of a class: a whole number has no point, whatever its type. ``None`` when it is none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, int):
        return str(value)
    return text_of(value) or None


def cpus() -> int:
    """Processors that this process may use: PyTorch and others would take all of the node, whatever the pod's limit."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open(_CPU_LIMIT, encoding="ascii") as file:
            quota, period = file.read().split()
        return max(1, min(allowed, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):
        return allowed  # No limit (`max`), or an older kernel.


def say(what: str) -> None:
    """A line of the log."""
    print(what, flush=True)


def run(main: Callable[[], None]) -> None:
    """Calls ``main`` and ends the process: with 0, or with the code and the words of a :class:`Fault`.

    Of any other error the log has the kind and the place, but not the message: that may have a sample in it.
    """
    try:
        main()
    except Fault as fault:
        print(fault, file=sys.stderr, flush=True)
        sys.exit(fault.code)
    except Exception as error:  # noqa: BLE001 - its message must not be printed
        traceback.print_tb(error.__traceback__)
        print(f"{type(error).__name__} (its message is left out: it may have a sample in it)", file=sys.stderr, flush=True)
        sys.exit(TRY_AGAIN)


def _listed(path: str) -> tuple[FileOfRows, ...]:
    with open(path, newline="", encoding="utf-8") as file:
        return tuple(FileOfRows(row["path"], int(row["start"]), int(row["end"])) for row in csv.DictReader(file))
