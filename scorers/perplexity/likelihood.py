"""Negative log-likelihood of texts under a causal language model.

The likelihood of a text longer than the model's context comes from windows that overlap, as in "Perplexity of fixed-length models"
(Hugging Face Transformers documentation): each token counts once, in the first window that has it, with what stands before it there.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Iterator, Optional, Sequence

import numpy as np
import torch
from shard import Fault

from .batches import Budget, padded
from .models import Loaded

#: Logits that are held once more in single precision, while their loss is taken.
_LOGITS_AT_ONCE = 1 << 26


@dataclass(frozen=True)
class Window:
    """The tokens ``begin`` to ``end`` of a text; of these the last ``counted`` count."""

    begin: int
    end: int
    counted: int


@dataclass(frozen=True)
class Likelihood:
    """Of one text: the sum of -ln p over the tokens that count, in nats, and their number."""

    nats: float
    tokens: int

    def score(self, kind: str, length: int) -> Optional[float]:
        """The difficulty; ``None`` when no token counts.

        :param kind: ``nll``: mean nats of a token. ``perplexity``: e to the power of that. ``bits-per-byte``: bits of the text divided by
            its bytes (Gao et al. 2020, arXiv 2101.00027, section 3.1), which compares models of different tokenizers.
        :param length: Bytes of the text in UTF-8.
        """
        if self.tokens == 0:
            return None
        if kind == "bits-per-byte":
            return self.nats / math.log(2) / length
        mean = self.nats / self.tokens
        if kind == "perplexity":
            return math.exp(mean) if mean < 709 else math.inf
        return mean


def windows(length: int, context: int, stride: int) -> Iterator[Window]:
    """The windows of a text: the first token has nothing before it, so it does not count.

    :param length: Tokens of the text.
    :param context: Tokens of a window, at least 2.
    :param stride: Tokens between the beginnings of two windows, 1 to ``context`` - 1. Tokens behind the first window have at least
        ``context - stride`` tokens before them.
    """
    if length < 2:
        return
    counted_to = 1
    for begin in itertools.count(0, stride):
        end = min(begin + context, length)
        yield Window(begin, end, end - counted_to)
        counted_to = end
        if end == length:
            return


def likelihoods(loaded: Loaded, texts: Sequence[Sequence[int]], stride: int, budget: Budget) -> list[Likelihood]:
    """The likelihood of each text.

    :param texts: Token ids. With fewer than two, no token counts.
    :param stride: As in :func:`windows`.
    """
    parts = [(text, window) for text, ids in enumerate(texts) for window in windows(len(ids), loaded.context, stride)]

    def compute(batch: list[int]) -> list[float]:
        chosen = [(texts[parts[at][0]], parts[at][1]) for at in batch]
        sequences = [ids[window.begin : window.end] for ids, window in chosen]
        return _nats(loaded, sequences, [window.counted for _, window in chosen])

    nats = budget.run([window.end - window.begin for _, window in parts], compute)
    sums, counts = [0.0] * len(texts), [0] * len(texts)
    for (text, window), value in zip(parts, nats):
        sums[text] += value
        counts[text] += window.counted
    return [Likelihood(total, count) for total, count in zip(sums, counts)]


@torch.inference_mode()
def _nats(loaded: Loaded, sequences: Sequence[Sequence[int]], counted: Sequence[int]) -> list[float]:
    """Sum of -ln p over the last ``counted`` tokens of each sequence."""
    ids, mask = padded(sequences, loaded.pad, loaded.device)
    logits = loaded.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    places: list[int] = []
    targets: list[int] = []
    for row, (sequence, count) in enumerate(zip(sequences, counted)):
        # The logits of a place are about the token behind it.
        first = row * ids.shape[1] + len(sequence) - 1 - count
        places.extend(range(first, first + count))
        targets.extend(sequence[len(sequence) - count :])
    flat, at_once = logits.flatten(0, 1), max(1, _LOGITS_AT_ONCE // logits.shape[-1])
    found = []
    for begin in range(0, len(places), at_once):
        here = torch.tensor(places[begin : begin + at_once], device=loaded.device)
        wanted = torch.tensor(targets[begin : begin + at_once], device=loaded.device)
        # In single precision, whatever the model's: half precision has 3 digits.
        found.append(torch.nn.functional.cross_entropy(flat[here].float(), wanted, reduction="none").cpu())
    losses = torch.cat(found).double().numpy()
    ends = np.cumsum(counted)
    return [float(losses[end - count : end].sum()) for end, count in zip(ends, counted)]


@torch.inference_mode()
def check_causal(loaded: Loaded) -> None:
    """Sees that the model does not look ahead, as an encoder that was loaded as a language model would.

    :raises Fault: when another last token changes what the model says of the tokens before it.
    """
    vocabulary = len(loaded.tokenizer)
    length = min(8, loaded.context)
    first = [at % vocabulary for at in range(length)]
    other = [*first[:-1], (first[-1] + vocabulary // 2) % vocabulary]
    ids, mask = padded([first, other], loaded.pad, loaded.device)
    logits = loaded.model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
    change, spread = (logits[0] - logits[1]).abs().mean(), logits.std()
    # What remains of rounding: the two sequences go through the same sums.
    limit = 2e-4 if loaded.model.dtype == torch.float32 else 2e-2
    if change > limit * spread:
        raise Fault("the model looks at the tokens behind the one that it predicts, so it is no causal language model")
