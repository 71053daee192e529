"""Batches of the curriculum with Lightning. It needs ``lightning``."""

from __future__ import annotations

from typing import Any, Mapping

import lightning.pytorch

from .errors import CurriculumError, SamplerNotUsed
from .pytorch import CurriculumLoader


class Curriculum(lightning.pytorch.Callback):
    """A callback of the Trainer, and :attr:`loader`, what it trains on.

    It keeps the position in the Trainer's checkpoints, ends the training with the phase, and reports what is logged.

    :param dataset: A data set with row numbers as indices.
    :param options: Of the ``DataLoader``.
    """

    def __init__(self, dataset: Any, **options: Any) -> None:
        self.loader = CurriculumLoader(dataset, **options)
        self._before: dict[str, Any] = {}
        self._validated: set[str] = set()

    def setup(self, trainer: lightning.pytorch.Trainer, pl_module: Any, stage: str) -> None:
        """Refuses limits that would end a phase early, or let nothing of a later phase be trained."""
        if stage != "fit":
            return
        if trainer.max_epochs != -1:
            raise CurriculumError(
                f"`max_epochs` is {trainer.max_epochs}, which counts the phases of before too; give Trainer(max_epochs=-1): "
                "training ends with the phase"
            )
        if trainer.limit_train_batches != 1.0 or trainer.overfit_batches:
            raise CurriculumError("`limit_train_batches` or `overfit_batches` would leave out a part of the phase; leave them out")
        self.loader.micro_batches = trainer.accumulate_grad_batches

    def on_train_start(self, trainer: lightning.pytorch.Trainer, pl_module: Any) -> None:
        """Refuses to train on anything else."""
        if trainer.train_dataloader is not self.loader:
            raise SamplerNotUsed(
                "the Trainer was given another training loader than the curriculum's, or replaced it; "
                "call trainer.fit(model, curriculum.loader), or return it in `train_dataloader`"
            )

    def on_train_epoch_start(self, trainer: lightning.pytorch.Trainer, pl_module: Any) -> None:
        """A checkpoint of the phase's end leaves nothing to train."""
        self._end(trainer)

    def on_train_batch_end(self, trainer: lightning.pytorch.Trainer, pl_module: Any, *_: Any) -> None:
        """Ends training with the phase."""
        self._end(trainer)
        whole = (trainer.fit_loop.batch_idx + 1) % self.loader.micro_batches == 0
        if whole and (trainer.global_step % trainer.log_every_n_steps == 0 or trainer.should_stop):
            self._report(trainer, set(trainer.callback_metrics) - self._validated)

    def on_validation_start(self, trainer: lightning.pytorch.Trainer, pl_module: Any) -> None:
        """Notes what was logged before."""
        self._before = dict(trainer.callback_metrics)

    def on_validation_end(self, trainer: lightning.pytorch.Trainer, pl_module: Any) -> None:
        """Reports what validation logged: now, and not again until it runs once more, for one evaluation is one value."""
        if trainer.sanity_checking:
            return
        fresh = {name for name, value in trainer.callback_metrics.items() if self._before.get(name) is not value}
        self._validated |= fresh
        self._report(trainer, fresh)

    def on_fit_end(self, trainer: lightning.pytorch.Trainer, pl_module: Any) -> None:
        """See :meth:`.CurriculumLoader.finish`."""
        self.loader.finish()

    def state_dict(self) -> dict[str, Any]:
        """Of the checkpoint."""
        return self.loader.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Of a checkpoint."""
        self.loader.load_state_dict(state_dict)

    def _end(self, trainer: lightning.pytorch.Trainer) -> None:
        if self.loader.step >= self.loader.end_step:
            trainer.should_stop = True

    def _report(self, trainer: lightning.pytorch.Trainer, names: set[str]) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name in names}
        if metrics and trainer.is_global_zero:
            self.loader.report(self.loader.step, metrics)
