"""Batches of the curriculum, loaded by PyTorch and counted, for training loops and for frameworks that own the loop.

The other modules of frameworks (:mod:`.accelerate` and so on) are built on this one. It needs PyTorch.
"""

from __future__ import annotations

from typing import Any, Iterator, Mapping, Optional, Union

import torch.distributed
from torch.utils.data import DataLoader

from .errors import CurriculumError
from .samplers import BatchSampler, FileSampler, open_sampler


class CurriculumLoader:
    """Loads this process's part of each batch of the phase, and counts what came out.

    It is no ``DataLoader``, on purpose: frameworks shard those among processes, or rebuild them with a sampler of their own. To a
    framework, a phase is one epoch.

    :param dataset: A data set with row numbers as indices, the same rows as the curriculum was planned for.
    :param micro_batches: Items that this process's part of each batch comes in, for gradient accumulation.
    :param sampler: Default: the one that the environment describes, opened at first use. Its rank is that of ``torch.distributed``
        when that is initialised by then, else of ``RANK`` and ``WORLD_SIZE``.
    :param options: Of the ``DataLoader``: ``num_workers``, ``collate_fn``, ``pin_memory`` and so on.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        micro_batches: int = 1,
        sampler: Optional[Union[BatchSampler, FileSampler]] = None,
        **options: Any,
    ) -> None:
        for name in ("batch_size", "shuffle", "batch_sampler", "drop_last"):
            if name in options:
                raise CurriculumError(f"`{name}` is given, but the curriculum decides the batches; leave it out")
        if options.get("in_order") is False:
            raise CurriculumError("`in_order` is False, but batches that overtake others cannot be counted; leave it out")
        self.dataset = dataset
        self.micro_batches = micro_batches if sampler is None else sampler.micro_batches
        self._sampler = sampler
        self._options = options
        self._loader: Optional[DataLoader] = None

    @property
    def sampler(self) -> Union[BatchSampler, FileSampler]:
        """Where the rows come from."""
        if self._sampler is None:
            distributed = torch.distributed
            known = distributed.is_available() and distributed.is_initialized()
            group = distributed.group.WORLD if known else None
            self._sampler = open_sampler(dataset=self.dataset, micro_batches=self.micro_batches, group=group)
        return self._sampler

    @property
    def loader(self) -> Any:
        """The ``DataLoader`` inside; whoever iterates over it counts nothing."""
        if self._loader is None:
            self._loader = self._make(self.dataset, self.sampler, self._options)
        return self._loader

    @property
    def step(self) -> int:
        """Batches of the run that came out so far, those of earlier phases included."""
        return self.sampler.step

    @property
    def end_step(self) -> int:
        """First step after the phase: where training ends."""
        return self.sampler.end_step

    def __len__(self) -> int:
        """Items of the whole phase, those that came out already included."""
        return (self.sampler.end_step - self.sampler.start_step) * self.sampler.micro_batches

    def __iter__(self) -> Iterator[Any]:
        """Items from :attr:`step` to the phase's end."""
        yield from self.sampler.track(self.loader)

    def finish(self) -> None:
        """To be called by a framework's adapter when training has ended.

        From a checkpoint of the phase's end on there is nothing to train, and a framework may not even begin to iterate. The sampler
        must learn of it all the same.
        """
        if self.step >= self.end_step:
            for _ in self:
                pass

    def _make(self, dataset: Any, sampler: Any, options: dict[str, Any]) -> Any:
        return DataLoader(dataset, batch_sampler=sampler, **options)

    def state_dict(self) -> dict[str, Any]:
        """Of a checkpoint: the position, the same in all processes."""
        return self.sampler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where a checkpoint was taken, of this run."""
        self.sampler.load_state_dict(state)

    def report(
        self,
        step: int,
        metrics: Mapping[str, float],
        groups: Optional[Mapping[int, Mapping[str, float]]] = None,
    ) -> dict[str, Any]:
        """Tells what was measured after ``step`` batches; see :meth:`.Sampler.report`."""
        return self.sampler.report(step, metrics, groups)
