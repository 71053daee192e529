"""Batches of row numbers, in order, from where training is: over HTTP or from a file."""

from __future__ import annotations

import json
import mmap
import os
import sys
from array import array
from typing import Any, Iterator, Mapping, Optional, Sized, Union

from .batches import _Batches, _filled
from .client import Sampler
from .errors import CurriculumError
from .marks import Mark
from .place import agree, setting


# Batches of one request: of a phase as it is planned, and of one that may end early.
_PREFETCH = 64
_PREFETCH_WATCHED = 8


class BatchSampler(_Batches):
    """Asks the sampler of the pod (``sampling: Http``). Usable as ``DataLoader(batch_sampler=…)``.

    The first iteration opens a *session*: it tells the sampler which rank asks, and from which step on. What the session gets counts.

    :param start_step: Step of the first batch; default: the phase's first. Better: :meth:`load_state_dict`.
    :param run: The run that ``start_step`` is of; needed when that is not the phase's first step. :meth:`plan` tells this one's.
    :param rank: This process among those that share each batch; default: ``RANK``.
    :param world_size: Processes that share each batch; default: ``WORLD_SIZE``. Without both, this process is the only one.
    :param group: Process group of ``torch.distributed`` that shares each batch, for rank and size. ``False``: this process asks for
        others too; nothing is compared with ``torch.distributed``.
    :param prefetch: Batches of one request; default: 64, or 8 where the phase may end early, which it does behind what was asked for.
        The phase's last batch is asked for alone and only when it is wanted.
    :param output: ``list`` of integers, ``memoryview`` of unsigned 64-bit integers (without a copy), or ``numpy`` array of ``int64``.
    :param micro_batches: Items that this rank's part of each batch is given out in, for gradient accumulation.
    :param rows: Rows of the data set that is read, compared with the plan's.
    :param dataset: Instead of ``rows``: the data set itself.
    :param client: Default: one made from the environment.
    """

    def __init__(
        self,
        start_step: Optional[int] = None,
        run: Optional[str] = None,
        rank: Optional[int] = None,
        world_size: Optional[int] = None,
        group: Any = None,
        prefetch: Optional[int] = None,
        output: str = "list",
        micro_batches: int = 1,
        rows: Optional[int] = None,
        dataset: Optional[Sized] = None,
        client: Optional[Sampler] = None,
    ) -> None:
        if prefetch is not None and prefetch < 1:
            raise CurriculumError(f"`prefetch` is {prefetch}; expected a number of batches from 1 on")
        self._client = client or Sampler()
        self._plan = self._client.plan()
        self._may_end_early = "transitions" in self._plan
        self._prefetch = prefetch or (_PREFETCH_WATCHED if self._may_end_early else _PREFETCH)
        self.start_step = self._plan["startStep"]
        self.end_step = self._plan["endStep"]
        self.global_batch_size = self._plan["batchSize"]
        self._session: Optional[str] = None
        self._process = os.getpid()
        super().__init__(start_step, run, rank, world_size, group, output, micro_batches, rows, dataset)

    def plan(self) -> dict[str, Any]:
        """The plan in effect, as the sampler told it at the beginning."""
        return dict(self._plan)

    def _reporter(self) -> Sampler:
        return self._client

    def _move(self, step: int) -> None:
        super()._move(step)
        self._session = None

    def _begin(self) -> str:
        """The session of this process; a child that was forked is another process."""
        agree(self._rank, self._world_size, self._group)
        if self._session is None or self._process != os.getpid():
            opened = self._client.open_session(self._rank, self._world_size, self.step, self._proof, self._rows)
            self._session, self._process = opened["session"], os.getpid()
            # From here on it is this run that goes on.
            self._proof = self._run()
        return self._session

    def _walk(self, step: int, ahead: bool) -> Iterator[memoryview]:
        session = self._begin()
        while step < self.end_step:
            if self._session != session:
                raise CurriculumError("another position was loaded during this iteration; begin a new one")
            # The sampler counts what it handed out: the last step must not count before it is wanted.
            count = min(self._prefetch, max(1, self.end_step - 1 - step))
            # Of a phase that may end early only the sampler knows by now which step is the last.
            hold = ahead and self._may_end_early
            peek = ahead and not hold and step == self.end_step - 1
            got, data, end = self._client._fetch(step, count, session=session, peek=peek, hold=hold)
            self._learn(end)
            if got == 0:
                return
            rows = _rows(data)
            width = len(rows) // got
            for i in range(got):
                yield rows[i * width : (i + 1) * width]
            step += got

    def _finish(self) -> None:
        self._client.fetch(self.end_step - 1, 1, session=self._begin())

    def _learn(self, end: Optional[int]) -> None:
        """The phase ends there; it may have been decided meanwhile, by what any rank reported."""
        if end is not None and self.start_step < end < self.end_step:
            self.end_step = end

    def report(
        self,
        step: int,
        metrics: Mapping[str, float],
        groups: Optional[Mapping[int, Mapping[str, float]]] = None,
    ) -> dict[str, Any]:
        """See :meth:`Sampler.report`. Where it makes the curriculum leave the phase, :attr:`end_step` moves."""
        reply = super().report(step, metrics, groups)
        if reply.get("decision", "continue") != "continue":
            self._learn(reply.get("endStep"))
        return reply

    def _run(self) -> Optional[str]:
        return self._plan.get("run")

    def _phase(self) -> int:
        return self._plan["phaseIndex"]

    def _fingerprint(self) -> dict[str, Any]:
        plan = self._plan
        return {"plan": plan["planDigest"], "seed": plan["seed"], "batchSize": plan["batchSize"], "rows": plan["rows"]}


class FileSampler(_Batches):
    """Reads the rows of the phase from a file (``sampling: File``), without a copy.

    How far it is stands in a mark beside the file, from which the pod's sampler tells what was trained.

    :param path: The file; default: ``CURRICULUM_ROWS_FILE``.
    :param first_step: First step of the phase; default: that of the plan beside the file, else ``CURRICULUM_START_STEP``.
    :param end_step: First step after the phase; default: that of the plan, else ``CURRICULUM_END_STEP``.

    The other parameters are those of :class:`BatchSampler`.
    """

    def __init__(
        self,
        path: Optional[Union[str, "os.PathLike[str]"]] = None,
        first_step: Optional[int] = None,
        end_step: Optional[int] = None,
        start_step: Optional[int] = None,
        run: Optional[str] = None,
        rank: Optional[int] = None,
        world_size: Optional[int] = None,
        group: Any = None,
        output: str = "list",
        micro_batches: int = 1,
        rows: Optional[int] = None,
        dataset: Optional[Sized] = None,
        client: Optional[Sampler] = None,
    ) -> None:
        path = path or os.environ.get("CURRICULUM_ROWS_FILE")
        if not path:
            raise CurriculumError("no rows file: give `path`, or set CURRICULUM_ROWS_FILE")
        path = os.fspath(path)
        self._plan = _plan_beside(path)
        first_step = self._plan.get("startStep") if first_step is None else first_step
        end_step = self._plan.get("endStep") if end_step is None else end_step
        self.start_step = setting("first_step", first_step, "CURRICULUM_START_STEP")
        self.end_step = setting("end_step", end_step, "CURRICULUM_END_STEP")
        steps = self.end_step - self.start_step
        try:
            file = open(path, "rb")
        except FileNotFoundError:
            raise CurriculumError(
                f"{path} does not exist; for a phase of more than 8 GiB of row numbers there is none: use `sampling: Http`"
            ) from None
        with file:
            size = os.fstat(file.fileno()).st_size
            if steps < 1 or size == 0 or size % (8 * steps):
                raise CurriculumError(
                    f"{path} has {size} bytes, which are no whole batches of the steps {self.start_step} to {self.end_step}"
                )
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.global_batch_size = size // 8 // steps
        self._client = client
        self._path = path
        self._mark: Optional[Mark] = None
        super().__init__(start_step, run, rank, world_size, group, output, micro_batches, rows, dataset)

    def plan(self) -> dict[str, Any]:
        """The plan in effect, as it stands beside the file; empty without one."""
        return dict(self._plan)

    def report(
        self,
        step: int,
        metrics: Mapping[str, float],
        groups: Optional[Mapping[int, Mapping[str, float]]] = None,
    ) -> dict[str, Any]:
        """See :meth:`Sampler.report`."""
        if self._mark is not None:
            self._mark.write(self.step)
        return super().report(step, metrics, groups)

    def advance(self, items: int = 1) -> None:
        """See :class:`BatchSampler`."""
        super().advance(items)
        self._note()

    def _note(self) -> None:
        if self._mark is not None:
            self._mark.note(self.step, self.step == self.end_step)

    def _reporter(self) -> Sampler:
        if self._client is None:
            self._client = Sampler()
        return self._client

    def _move(self, step: int) -> None:
        super()._move(step)
        self._mark = None

    def _walk(self, step: int, ahead: bool) -> Iterator[memoryview]:
        agree(self._rank, self._world_size, self._group)
        if self._mark is None or self._mark.process != os.getpid():
            run = self._run()
            if self._proof is None and self.step == self.start_step:
                self._proof = run
            self._mark = Mark(self._path, self._rank, self._world_size, self.step, self._proof)
            self._proof = run
        size, rank, world = self.global_batch_size, self._rank, self._world_size
        data = memoryview(self._bytes)
        for at in range(step, self.end_step):
            base = (at - self.start_step) * size
            # The file has the batch as a whole: slots without a row are behind those of all ranks.
            rows = _filled(_rows(data[8 * base : 8 * (base + size)]))
            yield rows[rank * len(rows) // world : (rank + 1) * len(rows) // world]

    def _iterate(self) -> Iterator[Any]:
        ahead = self._tracking
        for item in super()._iterate():
            if not ahead:
                self._note()
            yield item

    def _run(self) -> Optional[str]:
        return self._plan.get("run") or os.environ.get("CURRICULUM_RUN") or None

    def _phase(self) -> int:
        return setting("phase", self._plan.get("phaseIndex"), "CURRICULUM_PHASE_INDEX", 0)

    def _fingerprint(self) -> dict[str, Any]:
        plan = self._plan
        if not plan:
            return {"batchSize": self.global_batch_size}
        return {"plan": plan["planDigest"], "seed": plan["seed"], "batchSize": plan["batchSize"], "rows": plan["rows"]}


def open_sampler(**options: Any) -> Union[BatchSampler, FileSampler]:
    """The sampler that the environment describes: a file if there is ``CURRICULUM_ROWS_FILE``, else HTTP.

    :param options: ``start_step``, ``run``, ``rank``, ``world_size``, ``group``, ``output``, ``micro_batches``, ``rows``, ``dataset`` and
        ``client``, as of :class:`BatchSampler`.
    """
    return FileSampler(**options) if os.environ.get("CURRICULUM_ROWS_FILE") else BatchSampler(**options)


def _plan_beside(path: str) -> dict[str, Any]:
    """What the sampler wrote about the rows file; empty where nobody did."""
    try:
        with open(f"{path}.json", encoding="utf-8") as file:
            return dict(json.load(file))
    except FileNotFoundError:
        return {}


def _rows(data: Union[bytes, memoryview]) -> memoryview:
    if sys.byteorder == "little":
        return memoryview(data).cast("Q")
    swapped = array("Q")
    swapped.frombytes(data)
    swapped.byteswap()
    return memoryview(swapped)
