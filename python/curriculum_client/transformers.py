"""Batches of the curriculum with the Trainer of Hugging Face Transformers. It needs ``transformers`` with PyTorch."""

from __future__ import annotations

import os
from typing import Any, Mapping, Optional, Union

import transformers
from transformers.trainer_callback import ExportableState, TrainerCallback, TrainerState
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from .errors import CurriculumError
from .place import compare_processes
from .pytorch import CurriculumLoader

_STATE = "trainer_state.json"


class CurriculumCallback(TrainerCallback, ExportableState):
    """Keeps the position in the Trainer's checkpoints, ends training at the phase's end with a checkpoint, and reports what is logged."""

    def __init__(self, trainer: "CurriculumMixin") -> None:
        self._trainer = trainer

    def state(self) -> dict[str, Any]:
        """Of the checkpoint's ``trainer_state.json``, which is written last."""
        loader = self._trainer.curriculum
        return {"args": {}, "attributes": {"loader": None if loader is None else loader.state_dict()}}

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        loader = self._trainer.curriculum
        if loader is not None and loader.step >= loader.end_step:
            control.should_save = True
            control.should_training_stop = True
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: Optional[Mapping[str, Any]] = None, **_: Any) -> None:
        loader = self._trainer.curriculum
        if loader is not None and state.is_world_process_zero:
            numbers = {name: value for name, value in (logs or {}).items() if name == "loss" or name.startswith("eval_")}
            if numbers:
                loader.report(loader.step, numbers)


class CurriculumMixin:
    """Before a Trainer in the bases of a class: ``class MyTrainer(CurriculumMixin, SFTTrainer)``.

    Data set, collator and workers are the Trainer's; its batch size and its sampler are not used.
    """

    curriculum: Optional[CurriculumLoader] = None
    """The loader of the training data, while training."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_callback(CurriculumCallback(self))

    def train(self, resume_from_checkpoint: Optional[Union[str, bool]] = None, *args: Any, **kwargs: Any) -> Any:
        """See ``Trainer.train``. With ``True`` it goes on from the last whole checkpoint if there is one, and begins otherwise."""
        compare_processes(self.accelerator.num_processes)
        loader = self.curriculum = self._curriculum_loader()
        if resume_from_checkpoint is True:
            resume_from_checkpoint = _last_checkpoint(self.args.output_dir)
        if resume_from_checkpoint:
            loader.load_state_dict(_position(resume_from_checkpoint))
        # The loader stands where the checkpoint was made: nothing is to be skipped.
        self.args.ignore_data_skip = True
        if self.args.max_steps <= 0:
            self.args.max_steps = loader.end_step
        elif self.args.max_steps < loader.end_step:
            raise CurriculumError(f"`max_steps` is {self.args.max_steps}, but the phase ends at step {loader.end_step}")
        result = super().train(resume_from_checkpoint or None, *args, **kwargs)
        loader.finish()
        return result

    def get_train_dataloader(self) -> Any:
        """The loader of :attr:`curriculum`, which Accelerate leaves alone."""
        return self.curriculum if self.curriculum is not None else self._curriculum_loader()

    def _curriculum_loader(self) -> CurriculumLoader:
        made = super().get_train_dataloader()
        options = {"prefetch_factor": made.prefetch_factor, "persistent_workers": made.persistent_workers} if made.num_workers else {}
        return CurriculumLoader(
            made.dataset,
            micro_batches=self.args.gradient_accumulation_steps,
            collate_fn=made.collate_fn,
            num_workers=made.num_workers,
            pin_memory=made.pin_memory,
            worker_init_fn=made.worker_init_fn,
            multiprocessing_context=made.multiprocessing_context,
            **options,
        )


class CurriculumTrainer(CurriculumMixin, transformers.Trainer):
    """A ``Trainer`` whose training data are the batches of the curriculum."""


def _last_checkpoint(folder: str) -> Optional[str]:
    """The last checkpoint that was written to its end."""
    if not os.path.isdir(folder):
        return None
    steps = [name[len(PREFIX_CHECKPOINT_DIR) + 1 :] for name in os.listdir(folder) if name.startswith(f"{PREFIX_CHECKPOINT_DIR}-")]
    for step in sorted((int(step) for step in steps if step.isdigit()), reverse=True):
        path = os.path.join(folder, f"{PREFIX_CHECKPOINT_DIR}-{step}")
        if os.path.isfile(os.path.join(path, _STATE)):
            return path
    return None


def _position(checkpoint: str) -> Mapping[str, Any]:
    state = TrainerState.load_from_json(os.path.join(checkpoint, _STATE)).stateful_callbacks
    try:
        return state[CurriculumCallback.__name__]["attributes"]["loader"]
    except (KeyError, TypeError):
        raise CurriculumError(
            f"{checkpoint} was not made by a CurriculumTrainer, so that nobody knows which step comes next. "
            "To train on its weights from the phase's first step on, load them into the model and train without `resume_from_checkpoint`"
        ) from None
