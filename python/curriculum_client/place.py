"""Which part of each batch is this process's: its rank, told and never guessed."""

from __future__ import annotations

import os
import sys
from typing import Any, Optional

from .errors import CurriculumError

_MEND = (
    "start the processes with torchrun, which sets RANK and WORLD_SIZE, or give `rank` and `world_size`, "
    "or `group=torch.distributed.group.WORLD`"
)


def place(rank: Optional[int], world_size: Optional[int], group: Any = None) -> tuple[int, int]:
    """This process's rank, and the number of processes that share each batch.

    :param rank: Default: the rank in ``group`` if one is given, else ``RANK``.
    :param world_size: Default: the size of ``group`` if one is given, else ``WORLD_SIZE``.
    :param group: A process group of ``torch.distributed``; ``False``: this process asks for others too, so nothing is compared.

    Without any of them, this process is the only one.

    :raises CurriculumError: when only one of the two numbers is known, or ``torch.distributed`` has others.
    """
    if group is not None and group is not False:
        theirs = _group(group)
        if theirs is None:
            raise CurriculumError("`group` is given, but torch.distributed is not initialised; call init_process_group first")
        rank, world_size = theirs[0] if rank is None else rank, theirs[1] if world_size is None else world_size
    own_rank = setting("rank", rank, "RANK", None)
    own_size = setting("world_size", world_size, "WORLD_SIZE", None)
    if own_rank is None and own_size == 1:
        own_rank = 0
    if (own_rank is None) != (own_size is None):
        known, missing = (("WORLD_SIZE", own_size), "RANK") if own_rank is None else (("RANK", own_rank), "WORLD_SIZE")
        raise CurriculumError(f"{known[0]} is {known[1]} but {missing} is not set: which part of each batch is whose? {_MEND}")
    own_rank, own_size = own_rank or 0, 1 if own_size is None else own_size
    if own_size < 1:
        raise CurriculumError(f"`world_size` is {own_size}; expected a number of processes from 1 on")
    if not 0 <= own_rank < own_size:
        raise CurriculumError(f"`rank` is {own_rank}; expected 0 to {own_size - 1}, less than `world_size`")
    agree(own_rank, own_size, group)
    return own_rank, own_size


def agree(rank: int, world_size: int, group: Any = None) -> None:
    """Compares with ``torch.distributed``, if the program uses it.

    :raises CurriculumError: when it has another rank or size; the message names both.
    """
    theirs = None if group is False else _group(group)
    if theirs is not None and theirs != (rank, world_size):
        raise CurriculumError(
            f"this process is rank {theirs[0]} of {theirs[1]} in torch.distributed, but would ask as rank {rank} of {world_size}: "
            f"{_MEND}; where not all processes have rows of their own (tensor or pipeline parallelism), give the `group` that shares "
            "the batches, or `group=False` in the one process that asks for others"
        )


def compare_processes(known: int) -> None:
    """Compares what Accelerate knows with the environment: without a GPU, and without being told, it lets each process train by itself.

    :raises CurriculumError: when it knows of another number.
    """
    told = setting("world_size", None, "WORLD_SIZE", known)
    if told != known:
        raise CurriculumError(
            f"WORLD_SIZE is {told}, but Accelerate knows of {known} process(es), and does not average gradients over more: "
            "start with `accelerate launch`; on machines without GPUs use `accelerate launch --cpu`, Accelerator(cpu=True), or "
            "TrainingArguments(use_cpu=True)"
        )


def _group(group: Any) -> Optional[tuple[int, int]]:
    """Rank and size by ``torch.distributed``, which only the program itself imports."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed.get_rank(group), distributed.get_world_size(group)


def setting(name: str, value: Optional[int], variable: str, *default: Optional[int]) -> Any:
    """A number that is given, or else stands in the environment; an empty variable is none."""
    if value is not None:
        return int(value)
    text = os.environ.get(variable, "").strip()
    if not text:
        if not default:
            raise CurriculumError(f"no `{name}`: give it, or set {variable}")
        return default[0]
    try:
        return int(text)
    except ValueError:
        raise CurriculumError(f"{variable} is {text!r}; expected an integer") from None
