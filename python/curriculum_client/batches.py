"""What the samplers have in common: the position, its state, and the shape of a batch."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import Any, Iterable, Iterator, Mapping, Optional, Sized, TypeVar

from .client import Sampler
from .errors import CurriculumError, SamplerNotUsed, StateMismatch
from .place import place

_STATE_VERSION = 2
# What stands in a slot that has no row: where tokens bound a batch, it may have fewer rows than slots.
_EMPTY_SLOT = 2**64 - 1
_OUTPUTS = ("list", "memoryview", "numpy")
_T = TypeVar("_T")
_LOADERS = (
    "Keep the framework from preparing, sharding or cutting this loader, or use the framework's CurriculumLoader "
    "(docs/frameworks of the operator)"
)
# Items beyond those of its workers that a wrapper of a loader may hold: Accelerate looks one ahead, in order to know the last.
_WRAPPERS_HOLD = 2


class _Batches:
    """What both samplers have in common: the position, its state, and the shape of a batch.

    The position is counted in *items*, what an iteration gives out: batches, or micro-batches when there are several to a batch.
    """

    def __init__(
        self,
        start_step: Optional[int],
        run: Optional[str],
        rank: Optional[int],
        world_size: Optional[int],
        group: Any,
        output: str,
        micro_batches: int,
        rows: Optional[int],
        dataset: Optional[Sized],
    ) -> None:
        self._group = group
        self._rank, self._world_size = place(rank, world_size, group)
        if output not in _OUTPUTS:
            raise CurriculumError(f"`output` is {output!r}; expected one of {', '.join(_OUTPUTS)}")
        if output == "numpy":
            import numpy  # noqa: F401, PLC0415 - not a dependency: only who asks for arrays needs it
        self._output = output
        self._micro = self._check_sizes(micro_batches)
        self._rows = self._compare_rows(rows, dataset)
        self._proof = run
        self._tracking = False
        self._item = self._handed = 0
        self._move(self.start_step if start_step is None else start_step)

    start_step: int
    """First step of the phase, counted over the whole run."""
    end_step: int
    """First step after the phase."""
    global_batch_size: int
    """Rows in one global batch, of all ranks together; with a token budget, at most so many."""

    @property
    def step(self) -> int:
        """Batches of the run that were trained on so far, those of earlier phases included; the step of the next batch."""
        return self._item // self._micro

    @property
    def rank(self) -> int:
        """This process among those that share each batch."""
        return self._rank

    @property
    def world_size(self) -> int:
        """Processes that share each batch."""
        return self._world_size

    @property
    def micro_batches(self) -> int:
        """Items that make up this rank's part of one global batch: the steps of gradient accumulation."""
        return self._micro

    @property
    def batch_size(self) -> int:
        """Rows of one item of this rank, at most: what a data loader calls its batch size. See :attr:`global_batch_size`."""
        return -(-self._local_rows() // self._micro)

    @property
    def token_budget(self) -> Optional[int]:
        """Most tokens of a global batch; ``None`` where every batch has the same number of rows."""
        tokens = self.plan().get("tokens")
        return None if tokens is None else tokens["budget"]

    @property
    def drop_last(self) -> bool:
        """What frameworks ask for when they are about to shard or rebuild a batch sampler, which this one must not be.

        :raises SamplerNotUsed: always.
        """
        raise SamplerNotUsed(
            "a framework is about to divide or rebuild the curriculum's batches, which are this process's part already: it asked for "
            f"`drop_last`. {_LOADERS}"
        )

    def __len__(self) -> int:
        """Items left in the phase."""
        return max(0, self.end_step * self._micro - self._item)

    def __iter__(self) -> Iterator[Any]:
        """This rank's rows of each batch from :attr:`step` to the phase's end, in :attr:`micro_batches` parts.

        A batch counts as trained on when it is handed out, unless :meth:`track` does the counting.
        """
        return _Items(self)

    def _iterate(self) -> Iterator[Any]:
        # As things are when the first item is wanted, not when the iterator was made.
        item, ahead = self._item, self._tracking
        self._handed = item
        skip = item % self._micro
        for slots in self._walk(item // self._micro, ahead):
            rows = _filled(slots)
            for part in self._parts(rows)[skip:]:
                item += 1
                self._handed = item
                if not ahead:
                    self._item = item
                yield self._shape(part)
            skip = 0

    def track(self, loader: Iterable[_T]) -> Iterator[_T]:
        """Passes on the items of a loader that was made with this sampler, and counts them.

        A loader with workers asks for batches long before they are trained on. Iterate through this method, and :attr:`step` and
        :meth:`state_dict` are about the batches that came out of the loader.

        :raises SamplerNotUsed: when the loader gives another number of items than it asked this sampler for.
        """
        ahead = _held(loader)
        with self.tracking():
            for item in loader:
                self.advance()
                if ahead is not None:
                    self.check_used(ahead)
                yield item
            self.check_used()

    @contextmanager
    def tracking(self) -> Iterator[None]:
        """Within it, iterations of this sampler count nothing; :meth:`advance` does. For adapters of frameworks that own the loop."""
        self.start_tracking()
        try:
            yield
        finally:
            self.stop_tracking()

    def start_tracking(self) -> None:
        """Begins what :meth:`tracking` does. A loader must begin its iteration afterwards."""
        self._tracking = True
        self._handed = self._item

    def stop_tracking(self) -> None:
        """Ends it."""
        self._tracking = False

    def advance(self, items: int = 1) -> None:
        """The next items were given to the training. The phase's last batch counts as handed out only now.

        :raises SamplerNotUsed: when this sampler was not asked for them.
        """
        for _ in range(items):
            if self._item >= self._handed:
                raise SamplerNotUsed(
                    f"the data loader gave an item of step {self.step} that it did not ask the curriculum's sampler for: a framework "
                    "replaced the sampler, or the loader was made without it, or it began before tracking did. "
                    f"Make it with DataLoader(dataset, batch_sampler=sampler). {_LOADERS}"
                )
            self._item += 1
            if self._item == self.end_step * self._micro:
                self._finish()

    def check_used(self, ahead: int = 0) -> None:
        """The loader has ended: it must have given what it asked for.

        :param ahead: Items that it may hold, while it has not ended.
        :raises SamplerNotUsed: when it gave less.
        """
        lost = self._handed - self._item
        if lost > ahead:
            raise SamplerNotUsed(
                f"the data loader is at step {self.step}, but asked the curriculum's sampler for {lost} more items than it gave: "
                f"a framework divided or dropped batches that are this rank's part already. {_LOADERS}"
            )

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs in order to go on with the next batch. Small, and plain enough for JSON."""
        return {"version": _STATE_VERSION, "step": self.step, "phase": self._phase(), "run": self._run(), **self._fingerprint()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes to the position of a state, of this phase or of the end of the phase before.

        :raises StateMismatch: when the state is of another run, plan or place; the message names both.
        """
        if state.get("version") != _STATE_VERSION:
            raise StateMismatch(f"the state has version {state.get('version')!r}; expected {_STATE_VERSION}")
        self._check_origin(state)
        step = int(state["step"])
        if not self.start_step <= step <= self.end_step:
            raise StateMismatch(
                f"the state's step is {step}, but phase {self._phase()} has the steps {self.start_step} to {self.end_step}"
            )
        self._proof = state.get("run")
        self._move(step)

    def _check_origin(self, state: Mapping[str, Any]) -> None:
        run = self._run()
        if run is not None:
            # Within a run the plan may change, when its scores are lost: the steps go on.
            if state.get("run") != run:
                raise StateMismatch(
                    f"the state's `run` is {state.get('run')!r}, but this one is {run!r}: its steps are those of another run. "
                    f"To train on its weights from step {self.start_step} on, load them without the sampler's state"
                )
            return
        same_phase = state.get("phase") == self._phase()
        for name, value in self._fingerprint().items():
            # A plan is of one phase; what stays the same over a run is checked for the phase before too.
            if (same_phase or name != "plan") and state.get(name) != value:
                raise StateMismatch(f"the state's `{name}` is {state.get(name)!r}, but this one's is {value!r}")

    def report(
        self,
        step: int,
        metrics: Mapping[str, float],
        groups: Optional[Mapping[int, Mapping[str, float]]] = None,
    ) -> dict[str, Any]:
        """Tells what was measured after ``step`` batches of the run; see :meth:`Sampler.report`. It never ends a training."""
        try:
            reporter = self._reporter()
        except CurriculumError as error:
            warnings.warn(f"there is no sampler to report to: {error}", RuntimeWarning, stacklevel=2)
            return {"decision": "continue"}
        return reporter.report(step, metrics, groups)

    def plan(self) -> dict[str, Any]:
        """Run, phase, steps, batch size, source of the rows."""
        raise NotImplementedError

    def _move(self, step: int) -> None:
        if step < self.start_step:
            raise CurriculumError(f"`start_step` is {step}; expected a step from {self.start_step} on, the phase's first")
        self._item = self._handed = step * self._micro

    def _local_rows(self) -> int:
        size = self.global_batch_size
        return (self._rank + 1) * size // self._world_size - self._rank * size // self._world_size

    def _check_sizes(self, micro_batches: int) -> int:
        size, world = self.global_batch_size, self._world_size
        tokens = self.plan().get("tokens")
        if tokens is not None:
            # So many rows fit into a batch however long they are.
            size = min(size, tokens["budget"] // tokens["maxLength"])
        if world > size:
            raise CurriculumError(f"`world_size` is {world}; expected at most the {size} rows of a batch")
        if tokens is None and size % world:
            warnings.warn(
                f"a batch has {size} rows, which {world} processes cannot share evenly: some get {size // world}, others "
                f"{size // world + 1}, and an average over processes weighs rows differently",
                RuntimeWarning,
                stacklevel=5,
            )
        least = size // world
        if not 1 <= micro_batches <= least:
            raise CurriculumError(f"`micro_batches` is {micro_batches}; expected 1 to {least}, the rows that each process has of a batch")
        if tokens is None and size % world == 0 and least % micro_batches:
            warnings.warn(
                f"this process has {least} rows of each batch, which cannot be cut into {micro_batches} equal micro-batches: some get "
                f"{least // micro_batches}, others {least // micro_batches + 1}, and an average over micro-batches weighs rows differently",
                RuntimeWarning,
                stacklevel=5,
            )
        return micro_batches

    def _compare_rows(self, rows: Optional[int], dataset: Optional[Sized]) -> Optional[int]:
        if rows is None and dataset is not None:
            rows = len(dataset)
        planned = None if rows is None else self.plan().get("rows")
        if planned is not None and rows != planned:
            raise CurriculumError(
                f"the data set has {rows} rows, but the curriculum was planned for {planned}: row numbers would mean other samples. "
                "Read the same file as `spec.dataset` names, without dropping or adding rows"
            )
        return rows

    def _parts(self, rows: memoryview) -> list[memoryview]:
        count = self._micro
        return [rows[i * len(rows) // count : (i + 1) * len(rows) // count] for i in range(count)]

    def _shape(self, rows: memoryview) -> Any:
        if self._output == "list":
            return rows.tolist()
        if self._output == "numpy":
            import numpy  # noqa: PLC0415

            # Signed, for a tensor can be neither made of unsigned integers nor indexed with them; a copy, for it must be writable.
            return numpy.frombuffer(rows, dtype=numpy.int64).copy()
        return rows

    def _walk(self, step: int, ahead: bool) -> Iterator[memoryview]:
        """This rank's rows of each step. ``ahead``: they are taken before they are wanted, so that the last must not count yet."""
        raise NotImplementedError

    def _finish(self) -> None:
        """The last batch, which was taken ahead, is wanted now."""

    def _reporter(self) -> Sampler:
        raise NotImplementedError

    def _run(self) -> Optional[str]:
        raise NotImplementedError

    def _phase(self) -> int:
        raise NotImplementedError

    def _fingerprint(self) -> dict[str, Any]:
        raise NotImplementedError


class _Items:
    """An iteration over the items of a sampler.

    Its state is about what was asked for, whatever was counted: torchdata's StatefulDataLoader takes it when it asks for an item, and
    keeps it until that item comes out.
    """

    def __init__(self, batches: _Batches) -> None:
        self._batches = batches
        self._items = batches._iterate()
        self._began = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self._began = True
        return next(self._items)

    def state_dict(self) -> dict[str, Any]:
        state = self._batches.state_dict()
        return {**state, "step": self._batches._handed // self._batches.micro_batches} if self._began else state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._batches.load_state_dict(state)
        self._items, self._began = self._batches._iterate(), False


def _held(loader: Any) -> Optional[int]:
    """Items that a PyTorch loader may have asked for and not given yet; ``None`` for any other loader."""
    workers, factor = getattr(loader, "num_workers", None), getattr(loader, "prefetch_factor", None)
    if not isinstance(workers, int):
        return None
    return workers * (factor if isinstance(factor, int) else 2) + _WRAPPERS_HOLD


def _filled(slots: memoryview) -> memoryview:
    """The rows of some slots: those without one stand last."""
    if not slots or slots[-1] != _EMPTY_SLOT:
        return slots
    filled, end = 0, len(slots) - 1
    while filled < end:
        middle = (filled + end) // 2
        if slots[middle] == _EMPTY_SLOT:
            end = middle
        else:
            filled = middle + 1
    return slots[:filled]
