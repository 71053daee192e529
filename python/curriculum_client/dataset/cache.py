"""Files in a temporary folder that the processes of one user on one machine share: made once, by one of them."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import stat
import tempfile
import warnings
from collections import OrderedDict
from typing import Any, BinaryIO, Callable, Optional

from ..errors import DatasetError

#: Of the names of files: others are made when the layout of any of them changes.
_LAYOUT = 1
#: What a disk says when nothing can be put there; the data set can be read all the same.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class Cache:
    """Files by name.

    :param folder: Default: ``curriculum-dataset-UID`` in the temporary folder of the system, which ``TMPDIR`` names.
    """

    def __init__(self, folder: Optional[str] = None) -> None:
        self.folder = folder or os.path.join(tempfile.gettempdir(), f"curriculum-dataset-{os.getuid()}")

    def file(self, name: str, write: Callable[[BinaryIO], None]) -> Optional[str]:
        """The path of a file, which ``write`` makes if it is not there; ``None`` when the folder cannot take it, which is warned of.

        Of several processes that want the same file, one makes it and the others wait.
        """
        path = os.path.join(self.folder, name)
        try:
            self._check()
            if os.path.exists(path):
                return path
            with open(f"{path}.lock", "wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not os.path.exists(path):
                    self._make(path, write)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            warnings.warn(
                f"{self.folder} cannot keep {name}: {error}; each process does without it. Set TMPDIR, or give `cache`, to a folder "
                "with room",
                RuntimeWarning,
                stacklevel=2,
            )
            return None
        return path

    def _make(self, path: str, write: Callable[[BinaryIO], None]) -> None:
        handle, scratch = tempfile.mkstemp(dir=self.folder, prefix=".making-")
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
            os.replace(scratch, path)
        except BaseException:
            os.unlink(scratch)
            raise

    def _check(self) -> None:
        """The folder is this user's own: whoever could write there could say where rows begin."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        found = os.stat(self.folder)
        if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise DatasetError(f"{self.folder} can be written by other users; remove it, or give `cache` a folder of your own")


def name_of(kind: str, paths: list[str], *more: Any) -> str:
    """A name that changes with the content of the files, as far as their lengths and times show."""
    about: list[Any] = [_LAYOUT, kind, *more]
    for path in paths:
        found = os.stat(path)
        about.append([os.path.realpath(path), found.st_size, found.st_mtime_ns])
    return f"{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]}.{kind}"


class Recent:
    """Values with a size, of which those asked for last are kept.

    :param room: Sum of the sizes that are kept.
    :param close: Is called with each value that goes.
    """

    def __init__(self, room: int, close: Optional[Callable[[Any], None]] = None) -> None:
        self._room = room
        self._close = close
        self._held: OrderedDict[Any, tuple[Any, int]] = OrderedDict()
        self._size = 0

    def __contains__(self, key: Any) -> bool:
        return key in self._held

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: Any) -> Any:
        """The value, or ``None``."""
        entry = self._held.get(key)
        if entry is None:
            return None
        self._held.move_to_end(key)
        return entry[0]

    def put(self, key: Any, value: Any, size: int = 1) -> Any:
        """Keeps the value if it has room at all, and returns it."""
        if size > self._room:
            return value
        self._held[key] = (value, size)
        self._size += size
        while self._size > self._room:
            _, (gone, freed) = self._held.popitem(last=False)
            self._size -= freed
            if self._close is not None:
                self._close(gone)
        return value


class Handles:
    """Files that are open for reading, a bounded number of them."""

    _MOST = 128

    def __init__(self) -> None:
        self._files = Recent(self._MOST, os.close)

    def read(self, path: str, begin: int, end: int) -> bytes:
        """The bytes of a range.

        :raises DatasetError: when the file has become shorter, or cannot be opened.
        """
        handle = self._files.get(path)
        if handle is None:
            handle = self._files.put(path, self._open(path))
        data = os.pread(handle, end - begin, begin)
        while len(data) < end - begin:
            more = os.pread(handle, end - begin - len(data), begin + len(data))
            if not more:
                raise DatasetError(f"{path} has become shorter while it was read; a data set must not change during a run")
            data += more
        return data

    @staticmethod
    def _open(path: str) -> int:
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise DatasetError(f"{path} cannot be opened: {error.strerror}") from error

    def __del__(self) -> None:
        for handle, _ in self._files._held.values():
            os.close(handle)
