"""Loads a model and its tokenizer from a folder or from the hub, and sees that it is whole."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Iterator, Optional

import torch
import transformers
from shard import SCORER_FAULT, TRY_AGAIN, Fault

#: Tokens of a window unless the user says otherwise: many models take far more than a device has memory for.
_CONTEXT = 2048
#: What the hub says when another try would not help. By name, for the library moves them.
_FINAL = {"RepositoryNotFoundError", "RevisionNotFoundError", "GatedRepoError", "EntryNotFoundError", "HFValidationError"}
#: Attributes of a configuration that say how many tokens a model takes.
_LIMITS = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length")


@dataclass(frozen=True)
class Loaded:
    """A model that is ready, and how to feed it.

    :param context: Tokens that it is given at most.
    :param pad: Id of the token that fills sequences up; it is masked.
    """

    model: Any
    tokenizer: Any
    device: torch.device
    context: int
    pad: int


def load(
    kind: Any,
    name: str,
    *,
    revision: Optional[str] = None,
    device: str = "auto",
    dtype: str = "auto",
    max_length: Optional[int] = None,
) -> Loaded:
    """Loads a model for inference.

    :param kind: ``transformers.AutoModelForCausalLM`` or another class of automatic models.
    :param name: A folder, which is read without the network, or the name of a model on the hub.
    :param revision: Of the hub: branch, tag or commit.
    :param device: ``auto``: CUDA where there is one, else the CPU.
    :param dtype: ``float32``, ``bfloat16``, ``float16``; ``auto``: that of the checkpoint on CUDA, ``float32`` on the CPU.
    :param max_length: Tokens that it is given at most. Default: what the model takes, but no more than 2048.
    :raises Fault: when it is not there, damaged, not whole, or does not fit its tokenizer (66); when the hub does not answer (1).
    """
    place = torch.device("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else torch.device(device)
    if place.type == "cuda" and not torch.cuda.is_available():
        raise Fault("--device=cuda, but there is no GPU that PyTorch can use here", TRY_AGAIN)
    folder = os.path.isdir(name)
    if not folder and (name.startswith(("/", ".", "~")) or name.count("/") > 1):
        raise Fault(f"{name} is no folder; is the volume with the model mounted there?")
    if folder:
        _check_readable(name)
    precision = ("auto" if place.type == "cuda" else torch.float32) if dtype == "auto" else getattr(torch, dtype)
    options: dict[str, Any] = {"revision": revision} if revision and not folder else {}
    options["local_files_only"] = folder
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, **options)
        model, about = kind.from_pretrained(name, dtype=precision, output_loading_info=True, **options)
        model = model.to(place).eval()
    except Exception as error:  # noqa: BLE001 - libraries raise all kinds; none has seen a sample yet
        raise Fault(f"the model {name} cannot be loaded: {_short(error)}", _code(error, folder)) from error
    missing = sorted(about["missing_keys"])
    if missing:
        # Transformers fills them with random numbers and warns: the scores would be noise.
        raise Fault(f"the model {name} lacks {len(missing)} of its weights, such as {missing[0]}: it was saved for another task")
    embeddings = model.get_input_embeddings()
    known = getattr(embeddings, "num_embeddings", None)
    if known is not None and len(tokenizer) > known:
        raise Fault(f"the tokenizer has {len(tokenizer)} tokens, but the model {name} only {known}: they do not belong together")
    pad = tokenizer.pad_token_id
    return Loaded(model, tokenizer, place, _context(model.config, tokenizer, max_length), 0 if pad is None else pad)


def _check_readable(folder: str) -> None:
    """Libraries say of a file that another user alone may read that it is not there."""
    for entry in os.scandir(folder):
        if entry.is_file() and not os.access(entry.path, os.R_OK):
            raise Fault(f"{entry.path} cannot be read by user {os.getuid()}, as whom this pod runs: `chmod -R a+rX {folder}`")


def _context(config: Any, tokenizer: Any, wanted: Optional[int]) -> int:
    limits = [value for name in _LIMITS if isinstance(value := getattr(config, name, None), int) and value > 0]
    # Where a tokenizer does not know, it says 10^30.
    limits += [tokenizer.model_max_length] if tokenizer.model_max_length < 1 << 40 else []
    limit = min(limits, default=None)
    if wanted is None:
        return min(limit or _CONTEXT, _CONTEXT)
    if wanted < 2 or (limit is not None and wanted > limit):
        raise Fault(f"--max-length is {wanted}; expected 2 to {limit or 'any number'}")
    return wanted


def _code(error: BaseException, folder: bool) -> int:
    chain = list(_chain(error))
    names = {kind.__name__ for one in chain for kind in type(one).__mro__}
    if names & {"OutOfMemoryError", "MemoryError"}:
        return SCORER_FAULT
    # The last one is what the hub's library says when it does not get there.
    if not folder and names & _FINAL and "LocalEntryNotFoundError" not in names:
        return SCORER_FAULT
    if any(isinstance(one, OSError) and one.errno is not None for one in chain):
        return TRY_AGAIN  # The disk or the network: Transformers' own OSError has no number.
    return SCORER_FAULT if folder else TRY_AGAIN


def _chain(error: Optional[BaseException]) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _short(error: BaseException) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:300]}{'…' if len(words) > 300 else ''}"
