"""The likelihood scorer with real models of Transformers, beside plain loops that score one text, or one token, after the other."""

import contextlib
import gzip
import io
import math
import tempfile
import unittest
from unittest import mock

from support import TEXTS, ShardCase, save_gpt2, save_tokenizer

import safetensors.torch
import torch
import transformers
from perplexity import batches, likelihood, models
from perplexity.score import main
from shard import DATA_FAULT, SCORER_FAULT, TRY_AGAIN, Fault

CONTEXT = 24


def nats_of_tokens(model, ids):
    """-ln p of each token behind the first one, by one call for each token, with the whole text before it."""
    found = []
    for at in range(1, len(ids)):
        with torch.inference_mode():
            logits = model(torch.tensor([ids[:at]])).logits[0, -1]
        found.append(-torch.log_softmax(logits.double(), dim=-1)[ids[at]].item())
    return found


def mean_of_windows(model, ids, context, stride):
    """The loop of "Perplexity of fixed-length models", one window after the other: mean nats of the tokens that count."""
    total, count, counted_to = 0.0, 0, 0
    for begin in range(0, len(ids), stride):
        end = min(begin + context, len(ids))
        fresh = end - counted_to
        window = torch.tensor([ids[begin:end]])
        targets = window.clone()
        targets[:, :-fresh] = -100
        with torch.inference_mode():
            loss = model(window, labels=targets).loss
        valid = (targets[:, 1:] != -100).sum().item()
        total, count, counted_to = total + loss.double().item() * valid, count + valid, end
        if end == len(ids):
            break
    return total / count


class Perplexity(ShardCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.weights = folder.name
        transformers.utils.logging.disable_progress_bar()
        cls.model, cls.tokenizer = save_gpt2(folder.name, CONTEXT)
        cls.ids = [cls.tokenizer(text)["input_ids"] for text in TEXTS]

    def setUp(self):
        super().setUp()
        self.data = self.put("data.jsonl", [{"text": text} for text in TEXTS])

    def run_on(self, *arguments, files=None, **options):
        return self.scores(main, [f"--model={self.weights}", "--column=text", *arguments], files or [self.data], **options)

    def assert_near(self, one, other, within=1e-5):
        self.assertEqual(one.keys(), other.keys())
        for row, score in one.items():
            self.assertAlmostEqual(score, other[row], delta=within * max(1, abs(score)), msg=f"row {row}")

    def test_a_batch_gives_what_a_loop_over_tokens_gives(self):
        scores = self.run_on()
        short = {row for row, ids in enumerate(self.ids) if 2 <= len(ids) <= CONTEXT}
        self.assertGreaterEqual(len(short), 4)
        for row in short:
            nats = nats_of_tokens(self.model, self.ids[row])
            self.assertAlmostEqual(scores[row], sum(nats) / len(nats), delta=1e-5, msg=TEXTS[row])
        # The texts are not equally hard, or else the comparison would say little.
        self.assertGreater(max(scores.values()) - min(scores.values()), 0.5)

    def test_windows_give_what_the_published_loop_gives(self):
        long = {row for row, ids in enumerate(self.ids) if len(ids) > CONTEXT}
        self.assertGreaterEqual(len(long), 2)
        for stride, arguments in ((CONTEXT // 2, []), (1, ["--stride=1"]), (CONTEXT - 1, [f"--stride={CONTEXT - 1}"])):
            scores = self.run_on(*arguments)
            for row, ids in enumerate(self.ids):
                if len(ids) >= 2:
                    self.assertAlmostEqual(scores[row], mean_of_windows(self.model, ids, CONTEXT, stride), delta=1e-5, msg=stride)

    def test_every_token_but_the_first_counts_once(self):
        for context in (2, 3, 5, 8):
            for stride in range(1, context):
                for length in range(2, 30):
                    counted = []
                    for window in likelihood.windows(length, context, stride):
                        self.assertTrue(0 < window.counted < window.end - window.begin <= context)
                        counted += range(window.end - window.counted, window.end)
                        if window.begin:
                            self.assertGreaterEqual(window.end - window.counted - window.begin, context - stride)
                    self.assertEqual(counted, [*range(1, length)], (context, stride, length))
        self.assertEqual([*likelihood.windows(1, 8, 4)], [])

    def test_batches_and_shards_do_not_change_scores(self):
        whole = self.run_on("--batch-tokens=100000")
        for tokens in (1, 30, 60):
            self.assert_near(whole, self.run_on(f"--batch-tokens={tokens}"))
        parts = {}
        for start, end in ((0, 3), (3, 4), (4, 9)):
            parts.update(self.run_on(start=start, end=end))
        self.assert_near(whole, parts)

    def test_the_same_shard_has_the_same_bytes(self):
        runs = [self.score(main, [f"--model={self.weights}", "--column=text"], [self.data]) for _ in range(2)]
        self.assertEqual(runs[0], runs[1])

    def test_texts_of_no_or_one_token_have_no_score(self):
        self.assertEqual([len(self.ids[2]), len(self.ids[4])], [0, 1])
        scores = self.run_on()
        self.assertEqual(set(range(len(TEXTS))) - scores.keys(), {2, 4})
        self.assertIn("2 have no score", self.said)
        # With the token before it, the only one counts; an empty text still has nothing to predict.
        with_bos = self.run_on("--bos")
        self.assertEqual(set(range(len(TEXTS))) - with_bos.keys(), {2})
        nats = nats_of_tokens(self.model, [0, *self.ids[1]])
        self.assertAlmostEqual(with_bos[1], sum(nats) / len(nats), delta=1e-5)

    def test_other_forms_of_the_score(self):
        mean, power, bits = self.run_on(), self.run_on("--score=perplexity"), self.run_on("--score=bits-per-byte")
        for row, score in mean.items():
            self.assertAlmostEqual(power[row], math.exp(score), delta=1e-4 * power[row])
            tokens, size = len(self.ids[row]) - 1, len(TEXTS[row].encode())
            self.assertAlmostEqual(bits[row], score * tokens / math.log(2) / size, delta=1e-5 * bits[row])

    def test_all_formats_and_values_that_are_no_text(self):
        rows = [{"text": text, "other": at} for at, text in enumerate(TEXTS)]
        expected = self.run_on()
        for name in ("data.csv", "data.parquet"):
            self.assert_near(expected, self.run_on(files=[self.put(name, rows)]))
        packed = self.folder / "packed.jsonl.gz"
        packed.write_bytes(gzip.compress(self.data[0].read_bytes()))
        more = [{"text": TEXTS[0]}, {"text": None}, {"text": 7}, {"no": "text"}, {"text": "\ud800 and"}]
        parts = [(packed, len(TEXTS)), self.put("b/more.jsonl", more)]
        scores = self.run_on(files=parts)
        self.assertAlmostEqual(scores[len(TEXTS)], expected[0], delta=1e-5)
        self.assertEqual(scores.keys() - expected.keys(), {len(TEXTS), len(TEXTS) + 4})

    def test_too_little_memory_halves_the_batch(self):
        budget, seen = batches.Budget(64), []

        def compute(batch):
            seen.append(len(batch))
            if len(batch) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return [at * 10 for at in batch]

        with contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual(budget.run([4] * 20, compute), [at * 10 for at in range(20)])
        self.assertEqual(seen[:3], [16, 8, 4])
        self.assertEqual(budget.tokens, 8)
        with self.assertRaisesRegex(Fault, "not enough for one sequence of 9 tokens"):
            batches.Budget(1).run([9], lambda batch: (_ for _ in ()).throw(MemoryError()))
        with self.assertRaisesRegex(RuntimeError, "shape"):
            budget.run([4], lambda batch: (_ for _ in ()).throw(RuntimeError("shape")))

    def test_models_that_are_none(self):
        folder = self.folder / "model"

        def refused(words, *arguments, code=SCORER_FAULT):
            self.refused(code, words, main, [f"--model={folder}", "--column=text", *arguments], [self.data])

        refused("is no folder; is the volume")
        folder.mkdir()
        refused("cannot be loaded")
        save_gpt2(folder, CONTEXT)
        refused("--max-length is 25; expected 2 to 24", "--max-length=25")
        refused("--stride is 24; expected 1 to 23", f"--stride={CONTEXT}")
        refused("perplexity: unrecognized arguments: --no-such-option", "--no-such-option")
        save_tokenizer(folder, size=420)
        refused("they do not belong together")
        save_tokenizer(folder, size=400)
        tensors = safetensors.torch.load_file(folder / "model.safetensors")
        lacking = {name: value for name, value in tensors.items() if "h.1.mlp" not in name}
        safetensors.torch.save_file(lacking, folder / "model.safetensors", {"format": "pt"})
        refused("lacks 4 of its weights")
        broken = {name: torch.full_like(value, math.nan) for name, value in tensors.items()}
        safetensors.torch.save_file(broken, folder / "model.safetensors", {"format": "pt"})
        refused("every score is NaN or infinite")
        with mock.patch("os.access", side_effect=lambda path, mode: not path.endswith("model.safetensors")):
            refused("model.safetensors cannot be read by user")
        (folder / "model.safetensors").write_bytes(b"nothing")
        refused("cannot be loaded")
        config = transformers.BertConfig(vocab_size=400, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
        torch.manual_seed(3)
        model = transformers.BertLMHeadModel(config)
        model.save_pretrained(folder)
        refused("no causal language model")
        # The hub is not reached here; another try may reach it.
        self.refused(TRY_AGAIN, "cannot be loaded", main, ["--model=nobody/nothing", "--column=text"], [self.data])

    def test_data_that_is_none(self):
        arguments = [f"--model={self.weights}", "--column=nosuch"]
        for name in ("data.csv", "data.parquet"):
            self.refused(SCORER_FAULT, "column `nosuch` is not", main, arguments, [self.put(name, [{"text": "a b"}])])
        arguments = [f"--model={self.weights}", "--column=text"]
        path, rows = self.put("torn.parquet", [{"text": text} for text in TEXTS * 9])
        content = bytearray(path.read_bytes())
        content[4:600] = b"\xff" * 596
        path.write_bytes(content)
        self.refused(DATA_FAULT, "torn.parquet cannot be read", main, arguments, [(path, rows)])
        self.refused(DATA_FAULT, "9 rows were found where 12 were counted", main, arguments, [(self.data[0], 12)])
        self.refused(TRY_AGAIN, "a file of the data set, is not there", main, arguments, [(self.folder / "gone.jsonl", 3)])

    def test_the_program_ends_with_the_code_and_prints_no_sample(self):
        code, printed = self.program("perplexity", [f"--model={self.weights}", "--column=text"], [self.data])
        self.assertEqual(code, 0, printed)
        self.assertFalse([text for text in TEXTS if len(text) > 8 and text[:8] in printed], printed)
        code, printed = self.program("perplexity", ["--model=/no/such/folder", "--column=text"], [self.data])
        self.assertEqual((code, printed), (66, "/no/such/folder is no folder; is the volume with the model mounted there?\n"))


class Loading(unittest.TestCase):
    def test_how_many_tokens_a_model_takes(self):
        tokenizer = type("Tokenizer", (), {"model_max_length": 10**30})
        for limits, wanted, expected in (
            ({}, None, 2048),
            ({"max_position_embeddings": 131072}, None, 2048),
            ({"n_positions": 1024}, None, 1024),
            ({"max_position_embeddings": 131072}, 9000, 9000),
            ({}, 9000, 9000),
        ):
            self.assertEqual(models._context(type("Config", (), limits), tokenizer, wanted), expected)


if __name__ == "__main__":
    unittest.main()
