#!/usr/bin/env python3
"""How fast the scorer `perplexity` scores texts, beside the plain loop over padded batches in the order of the rows.

The model is a GPT-2 with random weights: speed does not depend on what it has learned. All take turns; the least time of each counts. Run it
with the environment of the tests of frameworks.
"""

import argparse
import pathlib
import random
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scorers"), str(ROOT / "python")]

import torch
import transformers
from perplexity.batches import Budget
from perplexity.likelihood import likelihoods
from perplexity.models import Loaded

CONTEXT, VOCABULARY, PAD = 512, 8000, 0


def model():
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=256, n_layer=4, n_head=4, bos_token_id=0, eos_token_id=0
    )
    return transformers.GPT2LMHeadModel(config).eval()


def texts(count):
    """Token ids; lengths like those of reviews: the logarithm is normal, half of them are shorter than 60 tokens."""
    draws = random.Random(1)
    lengths = [max(2, min(CONTEXT, int(draws.lognormvariate(4.1, 0.9)))) for _ in range(count)]
    return [[draws.randrange(1, VOCABULARY) for _ in range(length)] for length in lengths]


@torch.inference_mode()
def plain(gpt, rows, batch):
    """Batches of so many rows as they come, padded to their longest."""
    found = []
    for begin in range(0, len(rows), batch):
        part = rows[begin : begin + batch]
        longest = max(map(len, part))
        ids = torch.tensor([row + [PAD] * (longest - len(row)) for row in part])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in part])
        logits = gpt(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
        losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(len(part), -1)
        losses = losses * mask[:, 1:]
        found += (losses.sum(1) / mask[:, 1:].sum(1)).tolist()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    gpt, rows = model(), texts(options.rows)
    tokens = sum(map(len, rows))
    loaded = Loaded(gpt, None, torch.device("cpu"), CONTEXT, PAD)
    ways = {
        "perplexity, 1024 tokens a batch": lambda: [one.score("nll", 1) for one in likelihoods(loaded, rows, CONTEXT // 2, Budget(1024))],
        "perplexity, 4096 tokens a batch": lambda: [one.score("nll", 1) for one in likelihoods(loaded, rows, CONTEXT // 2, Budget(4096))],
        "plain loop, 8 rows a batch": lambda: plain(gpt, rows, 8),
        "plain loop, 32 rows a batch": lambda: plain(gpt, rows, 32),
        "plain loop, 1 row a batch": lambda: plain(gpt, rows, 1),
    }
    least, found = {}, {}
    for _ in range(options.turns):
        for name, way in ways.items():
            begin = time.process_time()
            found[name] = way()
            least[name] = min(least.get(name, float("inf")), time.process_time() - begin)
    first = next(iter(ways))
    print(
        f"{len(rows)} texts, {tokens} tokens, {options.threads} thread(s), seconds of the processor, the least of {options.turns} in turns"
    )
    for name, seconds in least.items():
        apart = max(abs(one - other) for one, other in zip(found[first], found[name]))
        print(
            f"{name:34} {seconds:6.2f} s  {tokens / seconds:7.0f} tokens/s  ratio {seconds / least[first]:.2f}  furthest score {apart:.1e}"
        )


main()
