"""Cross-entropy of a row's label under a classifier of texts, such as a fine-tuned BERT."""

from __future__ import annotations

from typing import Any, Optional, Sequence

import torch
from shard import Fault

from .batches import Budget, padded
from .models import Loaded


def prepare(loaded: Loaded) -> None:
    """Makes the model ready for batches: a decoder finds the last token of each text by the padding.

    :raises Fault: when it gives one number in place of a probability for each class, or judges each class on its own.
    """
    config = loaded.model.config
    if config.num_labels < 2:
        raise Fault("the model has fewer than two labels, so it is no classifier")
    if config.problem_type == "multi_label_classification":
        raise Fault("the model is one for several labels at once; a row has one label here")
    if config.pad_token_id is None:
        config.pad_token_id = loaded.pad


def classes(config: Any) -> dict[str, int]:
    """The model's number of each class, by its name and by its number as a text: where the two differ, a name wins."""
    numbers = {str(number): number for number in range(config.num_labels)}
    return {**numbers, **{str(name): int(number) for number, name in config.id2label.items()}}


def losses(loaded: Loaded, texts: Sequence[Sequence[int]], labels: Sequence[int], budget: Budget) -> list[Optional[float]]:
    """-ln p(label) of each text, in nats; ``None`` without a token.

    :param texts: Token ids, no more than the model's context.
    :param labels: The model's numbers of the classes.
    """
    wanted = [at for at, ids in enumerate(texts) if ids]

    @torch.inference_mode()
    def compute(batch: list[int]) -> list[float]:
        chosen = [wanted[at] for at in batch]
        ids, mask = padded([texts[at] for at in chosen], loaded.pad, loaded.device)
        logits = loaded.model(input_ids=ids, attention_mask=mask).logits.float()
        targets = torch.tensor([labels[at] for at in chosen], device=loaded.device)
        return torch.nn.functional.cross_entropy(logits, targets, reduction="none").tolist()

    found: list[Optional[float]] = [None] * len(texts)
    for at, loss in zip(wanted, budget.run([len(texts[at]) for at in wanted], compute)):
        found[at] = loss
    return found
