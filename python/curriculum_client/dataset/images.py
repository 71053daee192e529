"""Images in folders, one folder for each class, by number: the order is that of torchvision's ``ImageFolder``."""

from __future__ import annotations

import bisect
import os
from array import array
from typing import Any, Iterator, Optional, Sequence

from ..errors import CurriculumError, DatasetError
from .rows import Rows, Transform

_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
_COLUMNS = ("image", "label", "class", "path")


class ImageRows(Rows):
    """Rows of an image folder: ``image``, the bytes of the file; ``label``, the number of its class; ``class``, its name; ``path``,
    relative to the folder. Without ``image`` in ``columns`` no file is read.
    """

    def __init__(self, folder: str, columns: Optional[Sequence[str]], transform: Optional[Transform]) -> None:
        self._folder = os.path.abspath(folder)
        self._columns = _COLUMNS if columns is None else tuple(columns)
        for name in self._columns:
            if name not in _COLUMNS:
                raise CurriculumError(f"`columns` has `{name}`; an image folder has {', '.join(_COLUMNS)}")
        try:
            with os.scandir(self._folder) as entries:
                self.classes = sorted(entry.name for entry in entries if entry.is_dir())
        except OSError as error:
            raise DatasetError(f"{self._folder} cannot be read: {error.strerror}") from error
        # Millions of names: one text and where each ends, in place of an object for each.
        names, self._ends, self._firsts = bytearray(), array("Q"), [0]
        for name in self.classes:
            for path in _images(os.path.join(self._folder, name)):
                names += os.fsencode(path[len(self._folder) + 1 :])
                self._ends.append(len(names))
            if len(self._ends) == self._firsts[-1]:
                raise DatasetError(f"{self._folder}: class `{name}` has no image; the extensions are {', '.join(_EXTENSIONS)}")
            self._firsts.append(len(self._ends))
        if not self.classes:
            raise DatasetError(f"{self._folder} has no folder in it; an image folder has one for each class")
        self._names = bytes(names)
        super().__init__(len(self._ends), transform)

    def _read(self, rows: Sequence[int]) -> list[Any]:
        return [{name: row[name] for name in self._columns} for row in map(self._row, rows)]

    def _row(self, row: int) -> dict[str, Any]:
        path = os.fsdecode(self._names[self._ends[row - 1] if row else 0 : self._ends[row]])
        label = bisect.bisect_right(self._firsts, row) - 1
        found = {"label": label, "class": self.classes[label], "path": path}
        if "image" in self._columns:
            try:
                with open(os.path.join(self._folder, path), "rb") as file:
                    found["image"] = file.read()
            except OSError as error:
                raise DatasetError(f"{os.path.join(self._folder, path)} cannot be read: {error.strerror}") from error
        return found

    def table(self, class_name: Optional[str], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Of each row key, class and bytes; see :mod:`.table`."""
        if class_name or columns:
            raise CurriculumError("of an image folder the class is the folder's name, and there are no other columns")
        for row in range(len(self)):
            path = os.fsdecode(self._names[self._ends[row - 1] if row else 0 : self._ends[row]])
            name = self.classes[bisect.bisect_right(self._firsts, row) - 1]
            yield {"key": path, "class": name, "bytes": os.path.getsize(os.path.join(self._folder, path))}


def _images(folder: str) -> Iterator[str]:
    for root, _, names in sorted(os.walk(folder, followlinks=True)):
        for name in sorted(names):
            if name.lower().endswith(_EXTENSIONS):
                yield os.path.join(root, name)
