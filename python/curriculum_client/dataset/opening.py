"""Opens the data set that the environment, or the caller, names."""

from __future__ import annotations

import json
import os
import warnings
from typing import Any, Optional, Sequence, Union

from ..client import Sampler
from ..errors import CurriculumError, DatasetError, SamplerUnavailable
from . import text
from .cache import Cache
from .files import braces, find, format_of
from .offsets import LocalOffsets, SamplerOffsets, Shards
from .packed import unpacked
from .rows import Rows, Transform

#: Formats that the operator reads itself, and those that it needs a table of.
OPERATOR_FORMATS = ("Parquet", "Csv", "JsonLines")
FORMATS = (*OPERATOR_FORMATS, "WebDataset", "Mds", "ImageFolder")
_MIB = 1 << 20

Path = Union[str, "os.PathLike[str]"]


def open_rows(
    path: Union[Path, Sequence[Path], None] = None,
    format: Optional[str] = None,  # noqa: A002
    columns: Optional[Sequence[str]] = None,
    transform: Optional[Transform] = None,
    *,
    delimiter: Optional[str] = None,
    bad_rows: str = "error",
    memory: int = 256 * _MIB,
    unpack: int = 0,
    sampler: Union[str, Sampler, bool, None] = None,
    cache: Optional[Path] = None,
) -> Rows:
    """A data set whose rows are read by number, the same numbers as the sampler gives: ``DataLoader(open(), batch_sampler=…)``.

    :param path: A file, a folder, a pattern such as ``train-*.parquet``, or several of these, whose rows run on. Default:
        ``CURRICULUM_DATASET``, what the job names.
    :param format: ``Parquet``, ``Csv``, ``JsonLines``; ``WebDataset``, ``Mds``, ``ImageFolder``, of which the operator reads a table
        (``python -m curriculum_client.dataset table``). Default: what the extension says; of the job's data set ``CURRICULUM_FORMAT``.
    :param columns: Names of the columns that rows have. Default: all. Of Parquet, others are not read.
    :param transform: Is called with each row, a dictionary, and gives what is handed out.
    :param delimiter: What separates fields of CSV. Default: a tab in ``.tsv``, else a comma; of the job's data set
        ``CURRICULUM_DELIMITER``.
    :param bad_rows: ``error`` raises :class:`.BadRow`; ``none`` gives ``None`` for such a row, which keeps its number.
    :param memory: Bytes of decoded row groups (Parquet) or unpacked shards (MDS) that each process keeps.
    :param unpack: Bytes that the cache may take for unpacked copies: of text that is packed with gzip or Zstandard, which cannot be
        read otherwise, and of Parquet, which is faster then. Default 0: no copies.
    :param sampler: Which sampler tells files, rows and offsets, or its address. Default: of the job's data set the pod's, else none.
        ``False``: none.
    :param cache: Folder that the processes of this machine share for what was found in the files. Default: one in the temporary folder.

    :raises DatasetError: when the files are not there, or not as the sampler says.
    """
    options = Options(columns, transform, bad_rows, memory, unpack, Cache(None if cache is None else os.fspath(cache)))
    if path is None:
        path = os.environ.get("CURRICULUM_DATASET")
        if not path:
            raise CurriculumError("no data set: give `path`, or set CURRICULUM_DATASET")
    given = [os.fspath(path)] if isinstance(path, (str, os.PathLike)) else [os.fspath(one) for one in path]
    if not given:
        raise CurriculumError("`path` is an empty list; give at least one file")
    is_jobs = given == [os.environ.get("CURRICULUM_DATASET")]
    if is_jobs and format in (None, os.environ.get("CURRICULUM_FORMAT")):
        format = os.environ.get("CURRICULUM_FORMAT") or format
        delimiter = delimiter or os.environ.get("CURRICULUM_DELIMITER") or None
        told = _told(sampler)
    else:
        told = _told(sampler) if sampler else None
    if told is not None:
        about = _about(told)
        if about is not None:
            return _as_told(about, told, options)
    if is_jobs and (listed := os.environ.get("CURRICULUM_DATASET_PATHS")):
        given = [os.path.join(given[0], one) for one in json.loads(listed)]
    format = format or _guess(given[0])
    if format not in FORMATS:
        raise CurriculumError(f"`format` is {format!r}; expected one of {', '.join(FORMATS)}")
    if format == "Mds" or format == "ImageFolder":
        return _folder(format, given, options)
    if format == "WebDataset":
        given = [one for name in given for one in braces(name)]
    paths = [file for one in given for file in find(one, format)]
    if len(set(paths)) < len(paths):
        twice = next(one for one in paths if paths.count(one) > 1)
        raise CurriculumError(f"{twice} is named twice; name each file once")
    return _files(format, paths, delimiter or text.delimiter_of(paths[0]), options, None, None)


class Options:
    """What was asked for, beside which files."""

    def __init__(
        self,
        columns: Optional[Sequence[str]],
        transform: Optional[Transform],
        bad_rows: str,
        memory: int,
        unpack: int,
        cache: Cache,
    ) -> None:
        if isinstance(columns, str):
            raise CurriculumError(f"`columns` is the text {columns!r}; expected a list of names")
        if bad_rows not in ("error", "none"):
            raise CurriculumError(f"`bad_rows` is {bad_rows!r}; expected 'error' or 'none'")
        self.columns, self.transform, self.skip_bad = columns, transform, bad_rows == "none"
        self.memory, self.unpack, self.cache = memory, unpack, cache


def _told(sampler: Union[str, Sampler, bool, None]) -> Optional[Sampler]:
    """Whom to ask; ``None``: nobody."""
    if isinstance(sampler, Sampler):
        return sampler
    if sampler is False or (sampler is None and not os.environ.get("CURRICULUM_SAMPLER")):
        return None
    return Sampler(sampler if isinstance(sampler, str) else None)


def _about(sampler: Sampler) -> Optional[dict[str, Any]]:
    """What the sampler knows of the files; ``None`` when it does not, or does not answer."""
    try:
        return sampler.dataset()
    except SamplerUnavailable as error:
        warnings.warn(f"{error}; the data set's files are read in the order of their names", RuntimeWarning, stacklevel=3)
        return None


def _guess(path: str) -> str:
    if os.path.isfile(os.path.join(path, "index.json")):
        return "Mds"
    names = sorted(os.listdir(path)) if os.path.isdir(path) else [path]
    for name in names:
        found = format_of(name)
        if found is not None:
            return found
    raise CurriculumError(f"{path}: the format does not show; give `format`, one of {', '.join(FORMATS)}")


def _as_told(about: dict[str, Any], sampler: Sampler, options: Options) -> Rows:
    """The files that the sampler names, as long as they are those that were inspected."""
    root = os.environ.get("CURRICULUM_DATASET_ROOT") or "/curriculum/dataset"
    paths = [os.path.join(root, file["path"]) for file in about["files"]]
    for path, file in zip(paths, about["files"]):
        try:
            found = os.path.getsize(path)
        except OSError as error:
            raise DatasetError(f"{path}, which the sampler names, cannot be read: {error.strerror}") from error
        if found != file["bytes"]:
            raise DatasetError(
                f"{path} had {file['bytes']} bytes when the data set was inspected and now has {found}; a data set must not change during "
                "a run"
            )
    rows = [file["rows"] for file in about["files"]]
    return _files(about["format"], paths, about.get("delimiter") or ",", options, rows, sampler)


def _files(
    format: str,  # noqa: A002
    paths: list[str],
    delimiter: str,
    options: Options,
    rows: Optional[list[int]],
    sampler: Optional[Sampler],
) -> Rows:
    if format == "Parquet":
        from .parquet import ParquetRows  # noqa: PLC0415 - it needs pyarrow

        return ParquetRows(paths, rows, options.columns, options.transform, options.memory, options.unpack, options.cache)
    if format == "WebDataset":
        from .tar import TarRows  # noqa: PLC0415

        return TarRows(paths, options.columns, options.transform, options.cache)
    plain = unpacked(paths, options.unpack, options.cache)
    shards, offsets = _placed(format, paths, plain, delimiter, options, rows, sampler)
    if format == "Csv":
        return text.CsvRows(shards, offsets, options.columns, options.transform, options.skip_bad, paths, delimiter=delimiter)
    return text.JsonRows(shards, offsets, options.columns, options.transform, options.skip_bad, paths)


def _placed(
    format: str,  # noqa: A002
    paths: list[str],
    plain: list[str],
    delimiter: str,
    options: Options,
    rows: Optional[list[int]],
    sampler: Optional[Sampler],
) -> tuple[Shards, Union[LocalOffsets, SamplerOffsets]]:
    """Where the rows of text files begin: by the sampler, else by a pass over them. ``plain``: the files, unpacked."""
    if sampler is not None and rows is not None and plain == paths:
        shards = Shards(paths, rows)
        told = SamplerOffsets(shards, [os.path.getsize(path) for path in paths], sampler, options.cache)
        if told.knows():
            return shards, told
    found = LocalOffsets(plain, format, text.scan_of(format, delimiter), options.cache, delimiter)
    for path, own, expected in zip(paths, found.rows, rows or found.rows):
        if own != expected:
            raise DatasetError(f"{path} has {own} rows, but the sampler says {expected}; a data set must not change during a run")
    return Shards(plain, found.rows), found


def _folder(format: str, given: list[str], options: Options) -> Rows:  # noqa: A002
    if len(given) > 1:
        raise CurriculumError(f"`path` is a list, but of {format} one folder is read; give its path")
    if format == "Mds":
        from .mds import MdsRows  # noqa: PLC0415

        return MdsRows(given[0], options.columns, options.transform, options.memory)
    from .images import ImageRows  # noqa: PLC0415

    return ImageRows(given[0], options.columns, options.transform)
