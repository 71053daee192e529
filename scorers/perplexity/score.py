"""Scores the rows of a shard with a model of Hugging Face Transformers: ``python -m perplexity --model=/weights --column=text``."""

from __future__ import annotations

import argparse
import math
import time
from typing import Any, Optional, Sequence

import torch
import transformers
from shard import Arguments, Fault, Progress, Scores, Shard, cpus, label_of, say, text_of

from . import classification
from .batches import Budget
from .likelihood import check_causal, likelihoods
from .models import Loaded, load

#: Rows that are read, sorted by length and scored at once. Tokens of long texts take far more memory than the texts.
_ROWS_AT_ONCE = 1024


def arguments(given: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """The command line; what each option means stands in README.md."""
    parser = Arguments(prog="perplexity", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--model", required=True, metavar="FOLDER|NAME", help="folder with a model, or its name on the hub")
    add("--revision", metavar="COMMIT", help="branch, tag or commit on the hub; name a commit, so that scores stay the same")
    add("--column", required=True, metavar="COLUMN", help="column with the text")
    add("--task", choices=("language-model", "classification"), default="language-model", help="what is asked of the model (%(default)s)")
    add("--label-column", metavar="COLUMN", help="of a classification: column with the label, by the model's name or number of it")
    add("--score", choices=("nll", "perplexity", "bits-per-byte"), default="nll", help="of a language model: the difficulty (%(default)s)")
    add("--bos", action="store_true", help="put the beginning-of-sequence token before each text, so that its first token counts")
    add("--max-length", type=int, metavar="TOKENS", help="tokens that the model sees at once (what it takes, at most 2048)")
    add("--stride", type=int, metavar="TOKENS", help="of a longer text: tokens between the beginnings of two windows (half of max-length)")
    add("--batch-tokens", type=int, metavar="TOKENS", help="tokens of a batch, padding included (1024 on the CPU, else 4096)")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 (%(default)s)")
    add("--dtype", choices=("auto", "float32", "bfloat16", "float16"), default="auto", help="precision of the weights (%(default)s)")
    add("--threads", type=int, default=0, help="threads on the CPU (as many as the pod may use)")
    options = parser.parse_args(given)
    if (options.task == "classification") != (options.label_column is not None):
        parser.error("--task=classification and --label-column go together")
    if options.batch_tokens is not None and options.batch_tokens < 1:
        parser.error("--batch-tokens must be positive")
    return options


def main(given: Optional[Sequence[str]] = None) -> None:
    """Scores the shard that the environment names.

    :raises Fault: as the exit codes in the README of scorers/ say.
    """
    options = arguments(given)
    shard = Shard.from_environment()
    torch.set_num_threads(options.threads or cpus())
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    scorer = (_Classification if options.task == "classification" else _LanguageModel)(options)
    loaded = scorer.loaded
    say(f"{options.model} on {loaded.device}, {loaded.model.dtype}, {loaded.context} tokens at once")
    progress, begin = Progress(shard.rows), time.monotonic()
    with shard.scores() as scores:
        for first, records in shard.read(scorer.columns, _ROWS_AT_ONCE):
            for row, score in enumerate(scorer.score(records), first):
                scores.add(row, score)
            rate = scorer.tokens / max(1e-9, time.monotonic() - begin)
            progress.at(first + len(records) - shard.start, f", {scorer.tokens} tokens, {rate:.0f} a second")
        _check(scores, scorer)
    say(f"scored {scores.written} rows; {scores.left_out} have no score")


def _check(scores: Scores, scorer: _Scorer) -> None:
    if scorer.strangers and not scorer.asked:
        raise Fault(f"none of the {scorer.strangers} labels is a class of the model; its classes are {scorer.classes}")
    if scorer.strangers:
        say(f"{scorer.strangers} rows have a label that is no class of the model, or none")
    if scorer.asked and scorer.not_finite == scorer.asked:
        raise Fault("every score is NaN or infinite: the model overflows in this --dtype, or its weights are damaged")
    if scorer.not_finite:
        say(f"{scorer.not_finite} rows have a score that is NaN or infinite, and so none")


class _Scorer:
    """What both tasks have in common.

    ``tokens`` counts what the model has seen of texts, ``asked`` the rows that it was asked about, ``not_finite`` those that it had no number
    for, ``strangers`` the rows whose label is none of ``classes``.
    """

    classes = ""

    def __init__(self, options: argparse.Namespace, kind: Any) -> None:
        self.loaded: Loaded = load(
            kind,
            options.model,
            revision=options.revision,
            device=options.device,
            dtype=options.dtype,
            max_length=options.max_length,
        )
        # A processor is kept busy by few tokens, and more of them leave its cache.
        self._budget = Budget(options.batch_tokens or (1024 if self.loaded.device.type == "cpu" else 4096))
        self._column = options.column
        self.columns = [options.column]
        self.tokens = self.asked = self.not_finite = self.strangers = 0

    def score(self, records: list[Optional[dict[str, Any]]]) -> list[Optional[float]]:
        """The score of each record; ``None`` for those without."""
        chosen = [at for at, record in enumerate(records) if record is not None and text_of(record[self._column])]
        found = self._scores([record for at in chosen if (record := records[at]) is not None])
        values: list[Optional[float]] = [None] * len(records)
        for at, score in zip(chosen, found):
            values[at] = score
            self.asked += score is not None
            self.not_finite += score is not None and not math.isfinite(score)
        return values

    def _texts(self, records: list[dict[str, Any]]) -> list[str]:
        # A lone surrogate, which JSON can have, has no bytes: tokenizers refuse it.
        return [(text_of(record[self._column]) or "").encode(errors="replace").decode() for record in records]

    def _encode(self, texts: list[str], **options: Any) -> list[list[int]]:
        ids = self.loaded.tokenizer(texts, return_attention_mask=False, verbose=False, **options)["input_ids"] if texts else []
        self.tokens += sum(map(len, ids))
        return ids

    def _scores(self, records: list[dict[str, Any]]) -> list[Optional[float]]:
        raise NotImplementedError


class _LanguageModel(_Scorer):
    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options, transformers.AutoModelForCausalLM)
        context = self.loaded.context
        self._stride = context // 2 if options.stride is None else options.stride
        if not 1 <= self._stride < context:
            raise Fault(f"--stride is {self._stride}; expected 1 to {context - 1}, so that each token has one before it")
        self._kind = options.score
        self._bos = self.loaded.tokenizer.bos_token_id if options.bos else None
        if options.bos and self._bos is None:
            raise Fault("--bos is given, but the tokenizer has no beginning-of-sequence token")
        check_causal(self.loaded)

    def _scores(self, records: list[dict[str, Any]]) -> list[Optional[float]]:
        texts = self._texts(records)
        encoded = self._encode(texts, truncation=False)
        if self._bos is not None:
            encoded = [ids if ids[:1] == [self._bos] else [self._bos, *ids] for ids in encoded]
        found = likelihoods(self.loaded, encoded, self._stride, self._budget)
        return [one.score(self._kind, len(text.encode())) for one, text in zip(found, texts)]


class _Classification(_Scorer):
    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options, transformers.AutoModelForSequenceClassification)
        classification.prepare(self.loaded)
        self._label = options.label_column
        self.columns.append(options.label_column)
        self._classes = classification.classes(self.loaded.model.config)
        names = [str(name) for name in self.loaded.model.config.id2label.values()]
        self.classes = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")

    def _scores(self, records: list[dict[str, Any]]) -> list[Optional[float]]:
        numbers = [self._classes.get(label_of(record[self._label]) or "") for record in records]
        known = [at for at, number in enumerate(numbers) if number is not None]
        self.strangers += len(numbers) - len(known)
        encoded = self._encode(self._texts([records[at] for at in known]), truncation=True, max_length=self.loaded.context)
        losses = classification.losses(self.loaded, encoded, [number for number in numbers if number is not None], self._budget)
        found: list[Optional[float]] = [None] * len(records)
        for at, loss in zip(known, losses):
            found[at] = loss
        return found
