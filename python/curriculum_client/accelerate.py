"""Batches of the curriculum with Accelerate. It needs ``accelerate``."""

from __future__ import annotations

from typing import Any, Iterator

import accelerate
from accelerate.utils import send_to_device

from . import pytorch
from .place import compare_processes


class CurriculumLoader(pytorch.CurriculumLoader):
    """A :class:`.pytorch.CurriculumLoader` on the accelerator's device, with its gradient accumulation and in its checkpoints.

    Do not give it to ``accelerator.prepare``: it is this process's already. (If you do, nothing changes.)

    :param accelerator: Its ``save_state`` and ``load_state`` keep the position from here on.
    :param dataset: A data set with row numbers as indices.
    :param options: Of the ``DataLoader``.
    """

    def __init__(self, accelerator: accelerate.Accelerator, dataset: Any, **options: Any) -> None:
        compare_processes(accelerator.num_processes)
        super().__init__(dataset, micro_batches=accelerator.gradient_accumulation_steps, **options)
        self._device = accelerator.device
        accelerator.register_for_checkpointing(self)

    def __iter__(self) -> Iterator[Any]:
        for item in super().__iter__():
            yield send_to_device(item, self._device)
