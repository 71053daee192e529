"""How far this process has read of the rows file: a mark beside it, one line of text, for the sampler of the pod."""

from __future__ import annotations

import fcntl
import os
import time
import warnings
from typing import Optional

from .errors import CurriculumError

#: Seconds between two writings, but for the first and the last.
_PERIOD = 1.0
#: Name of a mark → the process that claimed it. Its lock is held by a descriptor that stays open as long as the process.
_claims: dict[str, int] = {}


class Mark:
    """The mark of one rank.

    :param path: The rows file.
    :param first: The step that training begins with.
    :param run: The run that is trained, or that the checkpoint is of.
    :raises CurriculumError: when another process claims the same rank.
    """

    def __init__(self, path: str, rank: int, world_size: int, first: int, run: Optional[str]) -> None:
        self.process = os.getpid()
        self._path = f"{path}.read.{rank}-of-{world_size}"
        self._first, self._run = first, run or ""
        self._next: Optional[int] = None
        self._written = 0.0
        self._claim(rank, world_size)
        self.write(first)

    def note(self, step: int, at_once: bool = False) -> None:
        """Every step before ``step`` has been read."""
        if at_once or time.monotonic() - self._written >= _PERIOD:
            self.write(step)

    def write(self, step: int) -> None:
        """Says it now, by rename, so that whoever reads it finds a whole line."""
        if step == self._next:
            return
        try:
            with open(f"{self._path}.tmp", "w", encoding="utf-8") as file:
                file.write(f"{self._first} {step} {self._run}".rstrip() + "\n")
            os.replace(f"{self._path}.tmp", self._path)
        except OSError as error:
            warnings.warn(f"{self._path} cannot be written, so that nothing counts as trained: {error}", RuntimeWarning, stacklevel=4)
        self._next, self._written = step, time.monotonic()

    def _claim(self, rank: int, world_size: int) -> None:
        """Holds a lock for as long as the process lives."""
        if _claims.get(self._path) == self.process:
            return
        try:
            lock = os.open(f"{self._path}.lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            return  # The mark cannot be written either, which is told.
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise CurriculumError(
                f"two processes claim rank {rank} of world {world_size}: give each process that trains its own RANK and WORLD_SIZE "
                "(torchrun does), or start only one"
            ) from None
        _claims[self._path] = self.process
