"""Batches of row numbers, in order, from where training is: drawn in this process."""

from __future__ import annotations

from typing import Any, Dict, Iterator, Optional, Sized

from curriculum_client import Sampler
from curriculum_client.place import agree
from curriculum_client.batches import _Batches

from .errors import CurriculumError
from .plan import Plan


class BatchSampler(_Batches):
    """Draws the batches of a plan. Usable as ``DataLoader(batch_sampler=…)``.

    It has the interface of :class:`curriculum_client.BatchSampler`, :meth:`track`, :meth:`state_dict` and
    micro-batches included, so that a trainer changes one line to go from one to the other, and the loaders of
    :mod:`curriculum_client.pytorch` and of the modules for frameworks take it as their ``sampler``. But it
    tells nobody what was drawn.

    :param plan: The plan.
    :param start_step: Step of the first batch; default: the plan's first. Better: :meth:`load_state_dict`.
    :param rank: This process among those that share each batch; default: ``RANK``, or the only one.
    :param world_size: How many those are; default: ``WORLD_SIZE``, or 1.
    :param group: Instead of both: a process group of ``torch.distributed``; see
        :func:`curriculum_client.place.place`.
    :param output: Form of a batch: ``list`` of integers, ``memoryview`` of unsigned 64-bit integers, or
        ``numpy`` array of ``int64``.
    :param micro_batches: Items that this rank's part of each batch is given out in, for gradient
        accumulation.
    :param rows: Rows of the data set that is read, compared with the plan's.
    :param dataset: Instead of ``rows``: the data set itself.
    :raises CurriculumError: names the argument that is wrong, and what would be right.
    """

    def __init__(
        self,
        plan: Plan,
        start_step: Optional[int] = None,
        rank: Optional[int] = None,
        world_size: Optional[int] = None,
        group: Any = None,
        output: str = "list",
        micro_batches: int = 1,
        rows: Optional[int] = None,
        dataset: Optional[Sized] = None,
    ) -> None:
        self._plan = plan
        self.start_step = plan.start_step
        self.end_step = plan.end_step
        self.global_batch_size = plan.batch_size
        super().__init__(start_step, None, rank, world_size, group, output, micro_batches, rows, dataset)

    def plan(self) -> Dict[str, Any]:
        """The plan in effect, in the words of ``GET /v1/plan``; of several phases it names the first."""
        plan = self._plan
        phase = plan.phases[0]
        told = {
            "planDigest": plan.digest,
            "phase": phase.name,
            "phaseIndex": phase.index,
            "startStep": plan.start_step,
            "endStep": plan.end_step,
            "batchSize": plan.batch_size,
            "rows": plan.rows,
            "seed": plan.seed,
            "source": plan.source,
        }
        if plan.tokens is not None:
            told["tokens"] = {"budget": plan.tokens.budget, "maxLength": plan.tokens.max_length}
        return told if plan.source_message is None else {**told, "sourceMessage": plan.source_message}

    def _walk(self, step: int, ahead: bool) -> Iterator[memoryview]:
        rank, world_size = self._rank, self._world_size
        agree(rank, world_size, self._group)
        for at in range(step, self.end_step):
            yield self._plan.batch(at, rank=rank, world_size=world_size)

    def _reporter(self) -> Sampler:
        raise CurriculumError("the batches are drawn in this process, which reports to nobody")

    def _run(self) -> Optional[str]:
        return None

    def _phase(self) -> int:
        return self._plan.phases[0].index

    def _fingerprint(self) -> Dict[str, Any]:
        plan = self._plan
        return {"plan": plan.digest, "seed": plan.seed, "batchSize": plan.batch_size, "rows": plan.rows}
