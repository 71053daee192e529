"""Plans: what a curriculum compiles to, and what batches are drawn from."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Tuple, Union

from . import _native
from .errors import CurriculumError, PlanError, StepError

_Path = Union[str, "os.PathLike[str]"]
_FAILURES = ("fail", "uniform")


@dataclass(frozen=True)
class Phase:
    """A named stretch of steps."""

    name: str
    index: int
    """Its place in the curriculum, from 0."""
    start_step: int
    """Its first step, counted over the whole run."""
    end_step: int
    """The first step after it."""


@dataclass(frozen=True)
class TokenBudget:
    """A bound on the tokens of a batch."""

    budget: int
    """Most tokens of a global batch."""
    max_length: int
    """Tokens that a longer row counts as: cut it there."""


class Plan:
    """Which rows make up the batch of each step: a pure function of the plan, its score index and the step.

    A plan holds nothing that moves: threads may share it, and a copy in another process (it can be pickled)
    has the same rows.

    :param plan: What the operator's sampler reads: the path of a ``plan.json`` (of the ConfigMap
        ``<job>-plan-<visit>``), or its content as ``bytes``. It is checked as the sampler checks it.
    :param index: The score index that the plan names: the file ``index.arrow``, or the store, the folder
        below which it is ``index/<key>/index.arrow``. Its digest is compared with the plan's, which reads the
        whole file once. It is mapped, not copied, and must not be written to meanwhile. A plan of uniform
        sampling needs none.
    :param on_index_failure: What to do when the index cannot be used, or is not given: ``fail``, or
        ``uniform``: every row is equally likely then, as when it befalls the sampler.
    :raises OSError: when the plan cannot be read.
    :raises PlanError: when it is damaged, contradicts itself, or is not of one phase.
    :raises ScoreIndexError: when the index is missing, damaged, or not the plan's.
    """

    __slots__ = ("_native", "_origin")

    def __init__(self, plan: Union[_Path, bytes], index: Optional[_Path] = None, *, on_index_failure: str = "fail") -> None:
        if on_index_failure not in _FAILURES:
            raise CurriculumError(f"`on_index_failure` is {on_index_failure!r}; expected one of {', '.join(_FAILURES)}")
        if isinstance(plan, (bytes, bytearray, memoryview)):
            name, content = "of bytes", bytes(plan)
        else:
            name = os.fspath(plan)
            with open(name, "rb") as file:
                content = file.read()
        index = None if index is None else os.path.abspath(index)
        self._native = _native.open(content, name, index, on_index_failure == "uniform")
        if self.source == "UniformIndexUnusable":
            # A copy must not find an index that has come meanwhile: its rows would be others.
            index = None
        self._origin: Tuple[Any, ...] = ("open", content, index, on_index_failure)

    @classmethod
    def compile(
        cls,
        curriculum: Union[_Path, Mapping[str, Any]],
        *,
        index: Optional[_Path] = None,
        rows: Optional[int] = None,
        seed: Optional[int] = None,
        phase: Optional[str] = None,
    ) -> Plan:
        """Compiles a curriculum, as the operator does.

        Exactly one of ``index`` and ``rows`` is needed. With the index of a job, a phase of the result is the
        plan that the operator makes of it, with the same digest.

        :param curriculum: The path of a file, YAML or JSON: a CurriculumJob, its ``curriculum`` alone, or a
            DeepSpeed configuration with one metric; or the same as a mapping.
        :param index: A score index, the file ``index.arrow``.
        :param rows: Instead: the number of rows of a data set that is in the order of difficulty, the easiest
            row first. A row's score is its place among them, from 0 to 1.
        :param seed: Instead of the job's; default without a job: 0.
        :param phase: Only the phase of this name; default: all phases, one after the other.
        :raises OSError: when the file cannot be read.
        :raises PlanError: names the field that is wrong, what it says, and what would be right.
        :raises ScoreIndexError: when the index cannot be used.
        """
        if isinstance(curriculum, Mapping):
            name, text = "curriculum", json.dumps(curriculum)
        else:
            name = os.fspath(curriculum)
            with open(name, encoding="utf-8") as file:
                text = file.read()
        index = None if index is None else os.path.abspath(index)
        return cls._compiled(text, name, rows, index, seed, phase)

    @classmethod
    def _compiled(cls, *arguments: Any) -> Plan:
        plan = cls.__new__(cls)
        plan._native = _native.compile(*arguments)
        plan._origin = ("compile", *arguments)
        for note in plan._native.notes:
            warnings.warn(note, UserWarning, stacklevel=3)
        return plan

    @property
    def phases(self) -> Tuple[Phase, ...]:
        """The phases, in order; exactly one unless it was compiled here."""
        return tuple(Phase(*phase) for phase in self._native.phases)

    def phase_at(self, step: int) -> Phase:
        """The phase that a step belongs to.

        :raises StepError: when the step is not one of the plan's.
        """
        for phase in self.phases:
            if phase.start_step <= step < phase.end_step:
                return phase
        raise StepError(f"step {step} is outside of the plan, which has the steps from {self.start_step} to before {self.end_step}")

    @property
    def start_step(self) -> int:
        """First step, counted over the whole run."""
        return self._native.start_step

    @property
    def end_step(self) -> int:
        """First step after the plan's last phase."""
        return self._native.end_step

    @property
    def batch_size(self) -> int:
        """Rows in one global batch, of all ranks together; with :attr:`tokens`, at most so many."""
        return self._native.batch_size

    @property
    def tokens(self) -> Optional[TokenBudget]:
        """What else bounds a batch; ``None``: all batches have the same number of rows."""
        tokens = self._native.tokens
        return None if tokens is None else TokenBudget(*tokens)

    @property
    def rows(self) -> int:
        """Rows of the data set."""
        return self._native.rows

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self._native.seed

    @property
    def digest(self) -> str:
        """SHA-256 of the plan that was given, as ``sha256:…``: ``planDigest`` of status and snapshots."""
        return self._native.digest

    @property
    def source(self) -> str:
        """Where the rows come from.

        ``Index``: the score index. ``Uniform``: every row is equally likely, as the plan says.
        ``UniformIndexUnusable``: the same because the index cannot be used. ``FileOrder``: compiled with
        ``rows``, the first row is the easiest.
        """
        return self._native.source

    @property
    def source_message(self) -> Optional[str]:
        """Why the source is ``UniformIndexUnusable``."""
        return self._native.source_message

    def batch(self, step: int, *, rank: int = 0, world_size: int = 1) -> memoryview:
        """The row numbers of a step's batch, or the part of one of the ranks that share it.

        Other threads run meanwhile. The part of rank r of W is the slots from ⌊rB/W⌋ to before ⌊(r+1)B/W⌋ of
        a batch of B; with :attr:`tokens`, the rows in its share of the batch's tokens.

        :param step: From :attr:`start_step` to before :attr:`end_step`, in any order, all at the same cost; with
            :attr:`tokens` the first call for a late step draws the batches before it.
        :return: Unsigned 64-bit integers (format ``Q``) in memory of its own, which may be written to:
            ``.tolist()``, ``numpy.frombuffer(rows, numpy.int64)`` and ``torch.frombuffer(rows,
            dtype=torch.int64)`` take it without a copy.
        :raises StepError: when the step is not one of the plan's.
        :raises RankError: when the rank is not less than ``world_size``, or a batch has fewer rows than that.
        :raises ScoreIndexError: when the index was written over since it was checked.
        """
        return self._native.batch(step, rank, world_size)

    def sequence_digest(self, start_step: Optional[int] = None, end_step: Optional[int] = None) -> str:
        """SHA-256 of all row numbers of the steps, as ``sha256:…``: ``sequenceDigest`` of a snapshot.

        It draws every batch: some seconds for 10⁸ rows. Other threads run meanwhile, and Ctrl-C ends it.

        :param start_step: Default: the plan's first.
        :param end_step: Default: the plan's end.
        """
        start_step = self.start_step if start_step is None else start_step
        return self._native.sequence_digest(start_step, self.end_step if end_step is None else end_step)

    def __reduce__(self) -> Tuple[Any, ...]:
        return _restore, (*self._origin, self.digest)

    def __repr__(self) -> str:
        phases = ", ".join(phase.name for phase in self.phases)
        return f"<curriculum.Plan {phases}: steps {self.start_step} to {self.end_step}, {self.batch_size} of {self.rows} rows, {self.source}>"


def _restore(kind: str, *rest: Any) -> Plan:
    """A copy of a plan in another process, where what it was made from must still be the same."""
    *arguments, digest = rest
    if kind == "open":
        content, index, on_index_failure = arguments
        return Plan(content, index, on_index_failure=on_index_failure)
    with warnings.catch_warnings():
        # They were told when it was compiled first.
        warnings.simplefilter("ignore", UserWarning)
        plan = Plan._compiled(*arguments)
    if plan.digest != digest:
        raise PlanError(f"the score index {arguments[3]} is another one than when the plan was compiled")
    return plan
