"""Sequences in batches of similar length, within a budget of tokens that shrinks when the memory is not enough."""

from __future__ import annotations

from typing import Callable, Sequence, TypeVar

import torch
from shard import Fault, say

Value = TypeVar("Value")


class Budget:
    """How many tokens a batch may have, padding included.

    :param tokens: The limit to begin with. A sequence that is longer is a batch of its own.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def run(self, lengths: Sequence[int], compute: Callable[[list[int]], list[Value]]) -> list[Value]:
        """One value for each sequence, in their order.

        Longest first: batches have little padding, and one that needs too much memory is among the first. A batch that runs out of memory
        halves the budget, for all batches after it too.

        :param lengths: Tokens of each sequence.
        :param compute: Gives the values of the sequences with these numbers.
        :raises Fault: when the memory is not enough for one sequence alone.
        """
        order = sorted(range(len(lengths)), key=lambda at: (-lengths[at], at))
        values: dict[int, Value] = {}
        at = 0
        while at < len(order):
            longest = max(1, lengths[order[at]])
            batch = order[at : at + max(1, self.tokens // longest)]
            try:
                found = compute(batch)
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                size = len(batch)
            else:
                values.update(zip(batch, found))
                at += len(batch)
                continue
            # Out of the handler, whose traceback keeps the tensors of the failed batch alive.
            if size == 1:
                raise Fault(
                    f"the memory is not enough for one sequence of {longest} tokens: give a smaller --max-length, --dtype=bfloat16 or a "
                    "larger device"
                )
            self.tokens = longest * (size // 2)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            say(f"out of memory with {size} sequences of up to {longest} tokens; from now on {self.tokens} tokens in a batch")
        return [values[at] for at in range(len(lengths))]


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # The CPU's allocator has no class of its own.
    return "can't allocate memory" in str(error) or "not enough memory" in str(error)


def padded(sequences: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences filled up on the right: token ids and the mask that is 1 where a token is, both (sequences, longest) of int64.

    On the right, so that the positions of tokens are those that they have alone.
    """
    longest = max(map(len, sequences))
    ids = torch.full((len(sequences), longest), pad, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence, dtype=torch.int64)
        mask[row, : len(sequence)] = 1
    return ids.to(device), mask.to(device)
