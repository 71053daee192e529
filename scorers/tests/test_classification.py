"""Cross-entropy of labels under an encoder with a head for classes, beside the model called for one text after the other."""

import tempfile
import unittest

from support import TEXTS, ShardCase, save_gpt2, save_tokenizer

import torch
import transformers
from perplexity.classification import classes
from perplexity.score import main
from shard import SCORER_FAULT

CONTEXT = 32
NAMES = ("dull", "keen", "2")


def save_bert(folder, labels=NAMES):
    tokenizer = save_tokenizer(folder)
    torch.manual_seed(2)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=CONTEXT,
        initializer_range=0.4,
        pad_token_id=tokenizer.pad_token_id,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
    )
    model = transformers.BertForSequenceClassification(config).eval()
    model.save_pretrained(folder)
    return model, tokenizer


class Classification(ShardCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.weights = folder.name
        transformers.utils.logging.disable_progress_bar()
        cls.model, cls.tokenizer = save_bert(folder.name)

    def test_batches_give_what_one_text_gives(self):
        labels = ["dull", "keen", "keen", 0, 1, 2, 2.0, None, "other"]
        numbers = [0, 1, 1, 0, 1, 2, 2, None, None]
        data = self.put("data.jsonl", [{"text": text, "label": label} for text, label in zip(TEXTS, labels)])
        arguments = [f"--model={self.weights}", "--column=text", "--task=classification", "--label-column=label"]
        expected = {}
        for row, (text, number) in enumerate(zip(TEXTS, numbers)):
            ids = self.tokenizer(text, truncation=True, max_length=CONTEXT)["input_ids"]
            if number is not None and ids:
                with torch.inference_mode():
                    logits = self.model(torch.tensor([ids])).logits[0].double()
                expected[row] = -torch.log_softmax(logits, dim=0)[number].item()
        for tokens in ("1", "64", "100000"):
            scores = self.scores(main, [*arguments, f"--batch-tokens={tokens}"], [data])
            self.assertEqual(scores.keys(), expected.keys())
            for row, score in scores.items():
                self.assertAlmostEqual(score, expected[row], delta=1e-5)
        self.assertGreater(max(expected.values()) - min(expected.values()), 0.5)
        self.assertIn("2 rows have a label that is no class of the model, or none", self.said)

    def test_labels_that_the_model_does_not_know(self):
        data = self.put("data.csv", [{"text": "a b c", "label": "good"}, {"text": "d e f", "label": "bad"}])
        arguments = ["--column=text", "--task=classification", "--label-column=label"]
        words = "none of the 2 labels is a class of the model; its classes are dull, keen, 2"
        self.refused(SCORER_FAULT, words, main, [f"--model={self.weights}", *arguments], [data])
        save_gpt2(self.folder / "gpt2")
        self.refused(
            SCORER_FAULT, "lacks 1 of its weights, such as score.weight", main, [f"--model={self.folder / 'gpt2'}", *arguments], [data]
        )
        self.refused(
            SCORER_FAULT, "--task=classification and --label-column go together", main, [f"--model={self.weights}", *arguments[:2]], [data]
        )

    def test_names_win_over_numbers(self):
        config = transformers.BertConfig(id2label={0: "1", 1: "0", 2: "x"})
        self.assertEqual(classes(config), {"0": 1, "1": 0, "2": 2, "x": 2})


if __name__ == "__main__":
    unittest.main()
