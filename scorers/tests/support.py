"""Runs a scorer on a shard in a scratch folder, in this process or as a program of its own, and small models with random weights."""

import contextlib
import csv
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PATHS = [str(ROOT / "python"), str(ROOT / "scorers")]
sys.path[:0] = PATHS
# Nothing here is asked of a network.
os.environ["HF_HUB_OFFLINE"] = "1"

from shard import Fault  # noqa: E402


class ShardCase(unittest.TestCase):
    """A test with a scratch folder."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.said = ""

    def put(self, name, rows):
        """A data file of records, in the format of its extension."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".parquet"):
            import pyarrow
            import pyarrow.parquet

            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=7)
        elif name.endswith(".csv"):
            with open(path, "w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        else:
            import json

            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path, len(rows)

    def environment(self, files, start=0, end=None, seed=7):
        """What the operator sets for the rows `start` to `end`. `files`: pairs of a path and its number of rows."""
        lines, listed, first = [], [], 0
        end = sum(rows for _, rows in files) if end is None else end
        for path, rows in files:
            line = f"{path},{first},{first + rows}\n"
            listed.append(line)
            if first < end and start < first + rows:
                lines.append(line)
            first += rows
        for name, content in (("files.csv", lines), ("all-files.csv", listed)):
            (self.folder / name).write_text("path,start,end\n" + "".join(content))
        suffix = pathlib.Path(files[0][0]).name.partition(".")[2].partition(".")[0]
        output = self.folder / f"scores-{start}-{end}"
        return {
            "CURRICULUM_FILES": str(self.folder / "files.csv"),
            "CURRICULUM_ALL_FILES": str(self.folder / "all-files.csv"),
            "CURRICULUM_FORMAT": {"parquet": "Parquet", "csv": "Csv", "jsonl": "JsonLines"}[suffix],
            "CURRICULUM_ROW_START": str(start),
            "CURRICULUM_ROW_END": str(end),
            "CURRICULUM_SEED": str(seed),
            "CURRICULUM_OUTPUT": str(output),
        }

    def score(self, main, arguments, files, start=0, end=None, **options):
        """The bytes of the scores, without the header. What the scorer said is kept in `said`."""
        environment = self.environment(files, start, end, **options)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CURRICULUM_")}
        output = pathlib.Path(environment["CURRICULUM_OUTPUT"] + ".csv")
        output.unlink(missing_ok=True)
        words = io.StringIO()
        before = dict(os.environ)
        try:
            os.environ.clear()
            os.environ.update({**kept, **environment})
            with contextlib.redirect_stdout(words), contextlib.redirect_stderr(words):
                main(arguments)
        finally:
            os.environ.clear()
            os.environ.update(before)
            self.said = words.getvalue()
        self.assertFalse(list(self.folder.glob("*.part")))
        header, _, body = output.read_bytes().partition(b"\n")
        self.assertEqual(header, b"row,score")
        return body

    def scores(self, *arguments, **options):
        """The scores by row."""
        return {int(row): float(score) for row, score in csv.reader(self.score(*arguments, **options).decode().splitlines())}

    def refused(self, code, words, main, arguments, files, **options):
        """It ends with this exit code and words, and leaves no scores."""
        with self.assertRaisesRegex(Fault, words) as told:
            self.score(main, arguments, files, **options)
        self.assertEqual(told.exception.code, code, told.exception)
        self.assertFalse([*self.folder.glob("scores-*")])

    def program(self, module, arguments, files, **options):
        """The same as a process: its exit code and all that it printed."""
        environment = {**os.environ, **self.environment(files, **options), "PYTHONPATH": os.pathsep.join(PATHS)}
        done = subprocess.run([sys.executable, "-m", module, *arguments], env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr


TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "A short one",
    "",
    "Easy words are easy to read, and short words are easy to write; a model sees them often and knows what comes next.",
    "x",
    "Éclair, naïve, 東京 and 🙂 have more bytes than characters.",
    "to be or not to be that is the question " * 4,
    "12 + 30 = 42",
    "The quick brown fox jumps over the lazy dog.",
]


def save_tokenizer(folder, size=400, **options):
    """A byte-level BPE tokenizer, trained on the texts."""
    import tokenizers
    import transformers

    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "<pad>"]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", pad_token="<pad>", **options)
    fast.save_pretrained(folder)
    return fast


def save_gpt2(folder, context=24, **options):
    """A GPT-2 of two layers with random weights of a fixed seed, and its tokenizer."""
    import torch
    import transformers

    tokenizer = save_tokenizer(folder, **options)
    torch.manual_seed(1)
    size = len(tokenizer)
    config = transformers.GPT2Config(vocab_size=size, n_positions=context, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0)
    model = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        # Trained models are surer of themselves than fresh ones, so that mistakes show.
        model.transformer.wte.weight.mul_(20)
    model.save_pretrained(folder)
    return model, tokenizer
