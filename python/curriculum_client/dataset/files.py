"""Which files a data set is made of, in the order of their rows: a file, a folder, a pattern, or several of these."""

from __future__ import annotations

import os
import re
from typing import Callable, Optional

from ..errors import DatasetError

_PACKED = ("", ".gz", ".zst")
#: Format → ends of the names that a folder is searched for.
EXTENSIONS: dict[str, tuple[str, ...]] = {
    "Parquet": (".parquet",),
    "Csv": tuple(end + packed for end in (".csv", ".tsv") for packed in _PACKED),
    "JsonLines": tuple(end + packed for end in (".jsonl", ".ndjson") for packed in _PACKED),
    "WebDataset": (".tar",),
}
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
_WILD = re.compile(r"[*?\[]")


def format_of(path: str) -> Optional[str]:
    """The format that a name tells by its extension; ``None`` when it tells none."""
    for name, ends in EXTENSIONS.items():
        if path.endswith(ends):
            return name
    return None


def braces(path: str) -> list[str]:
    """The paths that ``{000..122}`` stands for, as WebDataset writes several shards."""
    found = _BRACES.search(path)
    if found is None or os.path.exists(path):
        return [path]
    first, last = found.groups()
    numbers = (str(number).zfill(len(first)) for number in range(int(first), int(last) + 1))
    return [one for number in numbers for one in braces(path[: found.start()] + number + path[found.end() :])]


def find(path: str, format: str) -> list[str]:
    """The files of one path, as the operator orders them.

    A path that exists as a file is that one file. Of a folder all files count that have the format's extensions, of folders in it too;
    of a pattern (``*``, ``?``, ``[…]``, and ``**`` for any folders) all that match. Names that begin with ``.`` or ``_`` are
    those of programs, and left out. The order is that of the paths' bytes.

    :raises DatasetError: when there is none, or a link to a folder is in the way.
    """
    path = os.path.abspath(path)
    if os.path.isfile(path):
        return [path]
    if os.path.isdir(path):
        found = _walk(path, lambda name: name.endswith(EXTENSIONS[format]))
        if not found:
            raise DatasetError(f"{path} is a folder that has no file in it or below whose name ends with {' or '.join(EXTENSIONS[format])}")
        return found
    parts = path.split("/")
    plain = next((at for at, part in enumerate(parts) if _WILD.search(part)), None)
    if plain is None:
        raise DatasetError(f"{path} does not exist; give the path of a file, a folder or a pattern such as train-*.parquet")
    matches = re.compile(_expression(parts[plain:]), re.DOTALL).fullmatch
    depth = None if "**" in parts else len(parts) - plain
    root = "/".join(parts[:plain]) or "/"
    found = _walk(root, lambda name: matches(name) is not None, depth) if os.path.isdir(root) else []
    if not found:
        raise DatasetError(f"no file has a path like {path}")
    return found


def _walk(root: str, wanted: Callable[[str], bool], depth: Optional[int] = None) -> list[str]:
    """Files below the folder whose path, relative to it, is wanted."""
    found: list[str] = []
    waiting = [("", 1)]
    while waiting:
        folder, level = waiting.pop()
        with os.scandir(os.path.join(root, folder)) as entries:
            for entry in entries:
                name = os.path.join(folder, entry.name)
                if entry.name[0] in "._":
                    continue
                if entry.is_file():
                    if wanted(name):
                        found.append(name)
                elif entry.is_dir() and (depth is None or level < depth):
                    if entry.is_symlink():
                        # The operator does not follow it either; its rows would be lost without a word.
                        raise DatasetError(f"{entry.path} is a link to a folder, which is not followed; name it in `dataset.paths`")
                    waiting.append((name, level + 1))
    return [os.path.join(root, name) for name in sorted(found, key=os.fsencode)]


def _expression(parts: list[str]) -> str:
    """A pattern as a regular expression for the whole of a path."""
    text = ""
    for at, part in enumerate(parts):
        last = at == len(parts) - 1
        if part == "**":
            text += "[^/]+(?:/[^/]+)*" if last else "(?:[^/]+/)*"
            continue
        text += _part(part) + ("" if last else "/")
    return text


def _part(part: str) -> str:
    text, at = "", 0
    while at < len(part):
        character = part[at]
        at += 1
        if character == "*":
            text += "[^/]*"
        elif character == "?":
            text += "[^/]"
        elif character == "[":
            # A `]` that stands first is one of the characters.
            begin = at + (part[at : at + 1] == "!")
            end = part.find("]", begin + 1)
            if end < 0:
                raise DatasetError(f"`{part}` is no pattern: its `[` is not closed; write a `[` that is meant as such as `[[]`")
            inside = re.sub(r"([\\\[\]^&~|])", r"\\\1", part[begin:end])
            text += f"(?!/)[{'^' if begin > at else ''}{inside}]"
            at = end + 1
        else:
            text += re.escape(character)
    return text
