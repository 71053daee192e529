"""Batches of row numbers, in order, from where training is: over HTTP or from a file."""

from __future__ import annotations

import hashlib
import mmap
import os
import sys
from array import array
from typing import Any, Iterable, Iterator, Mapping, Optional, TypeVar, Union

from .client import Sampler
from .errors import CurriculumError, StateMismatch

_STATE_VERSION = 1
_OUTPUTS = ("list", "memoryview", "numpy")
_T = TypeVar("_T")


class _Batches:
    """What both samplers have in common: the position, its state, and the shape of a batch."""

    def __init__(self, start_step: Optional[int], rank: Optional[int], world_size: Optional[int], output: str) -> None:
        self._world_size = _setting("world_size", world_size, "WORLD_SIZE", 1)
        self._rank = _setting("rank", rank, "RANK", 0)
        if not 0 <= self._rank < self._world_size:
            raise CurriculumError(f"`rank` is {self._rank}; expected 0 to {self._world_size - 1}, less than `world_size`")
        if output not in _OUTPUTS:
            raise CurriculumError(f"`output` is {output!r}; expected one of {', '.join(_OUTPUTS)}")
        if output == "numpy":
            import numpy  # noqa: F401, PLC0415 - not a dependency: only who asks for arrays needs it
        self._output = output
        self._tracked = False
        self._step = 0
        self._move(self.start_step if start_step is None else start_step)

    start_step: int
    """First step of the phase, counted over the whole run."""
    end_step: int
    """First step after the phase."""
    batch_size: int
    """Rows in one global batch, of all ranks together."""

    @property
    def step(self) -> int:
        """Batches of the run that were trained on so far, those of earlier phases included; the step of the next batch."""
        return self._step

    @property
    def rank(self) -> int:
        """This process among those that share each batch."""
        return self._rank

    @property
    def world_size(self) -> int:
        """Processes that share each batch."""
        return self._world_size

    def __len__(self) -> int:
        """Batches left in the phase."""
        return max(0, self.end_step - self._step)

    def __iter__(self) -> Iterator[Any]:
        """This rank's rows of each batch from :attr:`step` to the phase's end.

        A batch counts as trained on when it is handed out, unless :meth:`track` does the counting.
        """
        return self._iterate(self._step, counts=not self._tracked)

    def _iterate(self, first: int, counts: bool) -> Iterator[Any]:
        for step, rows in self._walk(first, ahead=not counts):
            if counts:
                self._step = step + 1
            yield self._shape(rows)

    def track(self, loader: Iterable[_T]) -> Iterator[_T]:
        """Passes on the items of a loader that was made with this sampler, one for each batch, and counts them.

        A loader with workers asks for batches long before they are trained on. Iterate through this method, and :attr:`step` and
        :meth:`state_dict` are about the batches that came out of the loader.
        """
        self._tracked = True
        try:
            for item in loader:
                self._step += 1
                if self._step == self.end_step:
                    self._finish()
                yield item
        finally:
            self._tracked = False

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs in order to go on with the next batch. Small, and plain enough for JSON."""
        return {"version": _STATE_VERSION, "step": self._step, "phase": self._phase(), **self._fingerprint()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes to the position of a state, of this phase or of the end of the phase before.

        :raises StateMismatch: when the state is of another run, plan or place; the message names both.
        """
        if state.get("version") != _STATE_VERSION:
            raise StateMismatch(f"the state has version {state.get('version')!r}; expected {_STATE_VERSION}")
        own = {"phase": self._phase(), **self._fingerprint()}
        same_phase = state.get("phase") == own["phase"]
        for name, value in own.items():
            # A plan is of one phase; what stays the same over a run is checked for the phase before too.
            if name in ("phase", "plan") and not same_phase:
                continue
            if state.get(name) != value:
                raise StateMismatch(f"the state's `{name}` is {state.get(name)!r}, but this one's is {value!r}")
        step = int(state["step"])
        if not self.start_step <= step <= self.end_step:
            raise StateMismatch(
                f"the state's step is {step}, but phase {own['phase']} has the steps {self.start_step} to {self.end_step}"
            )
        self._move(step)

    def report(
        self,
        step: int,
        metrics: Mapping[str, float],
        groups: Optional[Mapping[int, Mapping[str, float]]] = None,
    ) -> dict[str, Any]:
        """Tells what was measured after ``step`` batches of the run; see :meth:`Sampler.report`. Needs the sampler of the pod."""
        return self._reporter().report(step, metrics, groups)

    def plan(self) -> dict[str, Any]:
        """Phase, steps, batch size, source of the rows."""
        raise NotImplementedError

    def _move(self, step: int) -> None:
        if step < self.start_step:
            raise CurriculumError(f"`start_step` is {step}; expected a step from {self.start_step} on, the phase's first")
        self._step = step

    def _shape(self, rows: memoryview) -> Any:
        if self._output == "list":
            return rows.tolist()
        if self._output == "numpy":
            import numpy  # noqa: PLC0415

            # Signed, for a tensor can be neither made of unsigned integers nor indexed with them; a copy, for it must be writable.
            return numpy.frombuffer(rows, dtype=numpy.int64).copy()
        return rows

    def _walk(self, step: int, ahead: bool) -> Iterator[tuple[int, memoryview]]:
        """Steps and their rows. ``ahead``: batches are taken before they are wanted, so that the last one must not count as handed out yet."""
        raise NotImplementedError

    def _finish(self) -> None:
        """The last batch, which was taken ahead, is wanted now."""

    def _reporter(self) -> Sampler:
        raise NotImplementedError

    def _phase(self) -> int:
        raise NotImplementedError

    def _fingerprint(self) -> dict[str, Any]:
        raise NotImplementedError


class BatchSampler(_Batches):
    """Asks the sampler of the pod (``sampling: Http``). Usable as ``DataLoader(batch_sampler=…)``.

    :param start_step: Step of the first batch; default: the phase's first. Better: :meth:`load_state_dict`.
    :param rank: This process among those that share each batch; default: ``RANK``, else 0.
    :param world_size: Processes that share each batch; default: ``WORLD_SIZE``, else 1.
    :param prefetch: Batches of one request. The phase's last batch is asked for alone and only when it is wanted.
    :param output: ``list`` of integers, ``memoryview`` of unsigned 64-bit integers (without a copy), or ``numpy`` array of ``int64``.
    :param client: Default: one made from the environment.
    """

    def __init__(
        self,
        start_step: Optional[int] = None,
        rank: Optional[int] = None,
        world_size: Optional[int] = None,
        prefetch: int = 64,
        output: str = "list",
        client: Optional[Sampler] = None,
    ) -> None:
        if prefetch < 1:
            raise CurriculumError(f"`prefetch` is {prefetch}; expected a number of batches from 1 on")
        self._prefetch = prefetch
        self._client = client or Sampler()
        self._plan = self._client.plan()
        self.start_step = self._plan["startStep"]
        self.end_step = self._plan["endStep"]
        self.batch_size = self._plan["batchSize"]
        super().__init__(start_step, rank, world_size, output)

    def plan(self) -> dict[str, Any]:
        """The plan in effect, as the sampler told it at the beginning."""
        return dict(self._plan)

    def _reporter(self) -> Sampler:
        return self._client

    def _walk(self, step: int, ahead: bool) -> Iterator[tuple[int, memoryview]]:
        if step >= self.end_step:
            # Told once, so that the attempt of a trainer whose checkpoint is complete counts as complete.
            self._client.fetch(step, 1, self._rank, self._world_size)
            return
        while step < self.end_step:
            # The sampler counts what it handed out: the last step must not count before it is wanted.
            count = min(self._prefetch, max(1, self.end_step - 1 - step))
            peek = ahead and step == self.end_step - 1
            got, data = self._client.fetch(step, count, self._rank, self._world_size, peek)
            if got == 0:
                return
            rows = _rows(data)
            width = len(rows) // got
            for i in range(got):
                yield step + i, rows[i * width : (i + 1) * width]
            step += got

    def _finish(self) -> None:
        self._client.fetch(self.end_step - 1, 1, self._rank, self._world_size)

    def _phase(self) -> int:
        return self._plan["phaseIndex"]

    def _fingerprint(self) -> dict[str, Any]:
        plan = self._plan
        return {"plan": plan["planDigest"], "seed": plan["seed"], "batchSize": plan["batchSize"], "rows": plan["rows"]}


class FileSampler(_Batches):
    """Reads the rows of the phase from a file (``sampling: File``), without a copy.

    :param path: The file; default: ``CURRICULUM_ROWS_FILE``.
    :param first_step: First step of the phase; default: ``CURRICULUM_START_STEP``.
    :param end_step: First step after the phase; default: ``CURRICULUM_END_STEP``.

    The other parameters are those of :class:`BatchSampler`.
    """

    def __init__(
        self,
        path: Optional[Union[str, "os.PathLike[str]"]] = None,
        first_step: Optional[int] = None,
        end_step: Optional[int] = None,
        start_step: Optional[int] = None,
        rank: Optional[int] = None,
        world_size: Optional[int] = None,
        output: str = "list",
        client: Optional[Sampler] = None,
    ) -> None:
        path = path or os.environ.get("CURRICULUM_ROWS_FILE")
        if not path:
            raise CurriculumError("no rows file: give `path`, or set CURRICULUM_ROWS_FILE")
        self.start_step = _setting("first_step", first_step, "CURRICULUM_START_STEP")
        self.end_step = _setting("end_step", end_step, "CURRICULUM_END_STEP")
        steps = self.end_step - self.start_step
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if steps < 1 or size == 0 or size % (8 * steps):
                raise CurriculumError(
                    f"{os.fspath(path)} has {size} bytes, which are no whole batches of the steps {self.start_step} to {self.end_step}"
                )
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.batch_size = size // 8 // steps
        self._client = client
        self._digest: Optional[str] = None
        super().__init__(start_step, rank, world_size, output)
        if self._world_size > self.batch_size:
            raise CurriculumError(f"`world_size` is {self._world_size}; expected at most the {self.batch_size} rows of a batch")

    def plan(self) -> dict[str, Any]:
        """The plan in effect; asks the sampler of the pod."""
        return self._reporter().plan()

    def _reporter(self) -> Sampler:
        if self._client is None:
            self._client = Sampler()
        return self._client

    def _walk(self, step: int, ahead: bool) -> Iterator[tuple[int, memoryview]]:
        size = self.batch_size
        first = self._rank * size // self._world_size
        end = (self._rank + 1) * size // self._world_size
        data = memoryview(self._bytes)
        for at in range(step, self.end_step):
            base = (at - self.start_step) * size
            yield at, _rows(data[8 * (base + first) : 8 * (base + end)])

    def _phase(self) -> int:
        return _setting("phase", None, "CURRICULUM_PHASE_INDEX", 0)

    def _fingerprint(self) -> dict[str, Any]:
        if self._digest is None:
            self._digest = f"file-sha256:{hashlib.sha256(self._bytes).hexdigest()}"
        return {"plan": self._digest, "batchSize": self.batch_size}


def open_sampler(**options: Any) -> Union[BatchSampler, FileSampler]:
    """The sampler that the environment describes: a file if there is ``CURRICULUM_ROWS_FILE``, else HTTP.

    :param options: ``start_step``, ``rank``, ``world_size``, ``output`` and ``client``, as of both classes.
    """
    return FileSampler(**options) if os.environ.get("CURRICULUM_ROWS_FILE") else BatchSampler(**options)


def _rows(data: Union[bytes, memoryview]) -> memoryview:
    if sys.byteorder == "little":
        return memoryview(data).cast("Q")
    swapped = array("Q")
    swapped.frombytes(data)
    swapped.byteswap()
    return memoryview(swapped)


def _setting(name: str, value: Optional[int], variable: str, default: Optional[int] = None) -> int:
    if value is not None:
        return value
    text = os.environ.get(variable)
    if text is None:
        if default is None:
            raise CurriculumError(f"no `{name}`: give it, or set {variable}")
        return default
    try:
        return int(text)
    except ValueError:
        raise CurriculumError(f"{variable} is {text!r}; expected an integer") from None
