"""Batches of the curriculum in torchdata's StatefulDataLoader, for data sets with a state of their own. It needs ``torchdata``."""

from __future__ import annotations

from typing import Any, Iterator, Mapping

from torchdata.stateful_dataloader import StatefulDataLoader

from . import pytorch
from .errors import CurriculumError


class CurriculumLoader(pytorch.CurriculumLoader):
    """A :class:`.pytorch.CurriculumLoader` whose state holds those of the workers' data sets too.

    The state is this process's own: save one for each rank.
    """

    def __init__(self, dataset: Any, **options: Any) -> None:
        if options.get("snapshot_every_n_steps", 1) != 1:
            raise CurriculumError("`snapshot_every_n_steps` is not 1, so that a state would be older than what was trained on; leave it out")
        super().__init__(dataset, **options)

    def _make(self, dataset: Any, sampler: Any, options: dict[str, Any]) -> StatefulDataLoader:
        return StatefulDataLoader(dataset, batch_sampler=_Asked(sampler), **options)

    def state_dict(self) -> dict[str, Any]:
        """Of a checkpoint: the position, and what the workers' data sets keep."""
        loader = self.loader
        return {"sampler": super().state_dict(), "workers": loader.num_workers, "loader": loader.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where a checkpoint of this rank was taken, with as many workers."""
        loader = self.loader
        if state["workers"] != loader.num_workers:
            raise CurriculumError(
                f"the state is of {state['workers']} workers, each with a data set of its own, but `num_workers` is {loader.num_workers}"
            )
        super().load_state_dict(state["sampler"])
        loader.load_state_dict(state["loader"])


class _Asked:
    """A sampler whose iteration has a state, but not itself: that would be of what came out when the workers were asked."""

    def __init__(self, sampler: Any) -> None:
        self._sampler = sampler

    def __iter__(self) -> Iterator[Any]:
        return iter(self._sampler)

    def __len__(self) -> int:
        return len(self._sampler)
