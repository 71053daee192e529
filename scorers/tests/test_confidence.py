"""The cross-fitted scorer with the real scikit-learn: known answers, and its own folds handed to scikit-learn's cross-validation."""

import math
import unittest

from support import ShardCase

import numpy as np
from confidence.crossfit import cross_fitted, difficulty, folds_of
from confidence.score import main
from shard import SCORER_FAULT
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ROWS = 240
WORDS = (["sun", "beach", "warm", "swim", "sand"], ["snow", "ice", "cold", "ski", "frost"], ["rain", "wind", "storm", "cloud", "fog"])


def records(flipped=()):
    """Rows of three classes that lie apart; the label of some is that of the next class."""
    random = np.random.RandomState(5)
    found = []
    for row in range(ROWS):
        true = row % 3
        point = random.normal(size=2) * 0.4 + ((0, 0), (4, 0), (0, 4))[true]
        text = " ".join(random.choice(WORDS[true], 6))
        label = "abc"[(true + (row in flipped)) % 3]
        found.append(
            {"x": float(point[0]), "y": float(point[1]), "vector": [float(point[0]), float(point[1]), 1.0], "text": text, "label": label}
        )
    return found


KINDS = {
    "numbers": ["--number-columns=x,y"],
    "embedding": ["--embedding-column=vector"],
    "text": ["--text-column=text"],
    "all": ["--number-columns=x", "--embedding-column=vector", "--text-column=text"],
}


class Confidence(ShardCase):
    def run_on(self, rows, *arguments, name="data.parquet", **options):
        return self.scores(main, ["--label-column=label", *arguments], [self.put(name, rows)], **options)

    def test_rows_with_a_wrong_label_are_the_hardest(self):
        flipped = {*range(0, ROWS, 17)}
        for name, arguments in KINDS.items():
            for score in ("confidence", "loss", "margin"):
                scores = self.run_on(records(flipped), *arguments, f"--score={score}")
                self.assertEqual(len(scores), ROWS)
                hardest = sorted(scores, key=scores.get)[-len(flipped) :]
                self.assertEqual(set(hardest), flipped, (name, score))

    def test_all_formats_have_the_same_scores(self):
        rows = records()
        expected = self.run_on(rows, *KINDS["all"])
        self.assertEqual(self.run_on(rows, *KINDS["all"], name="data.jsonl"), expected)
        # In CSV a list is a text: Python's and JSON's are the same here.
        self.assertEqual(self.run_on(rows, *KINDS["all"], name="data.csv"), expected)

    def test_shards_and_jobs_have_the_same_bytes(self):
        arguments = ["--label-column=label", *KINDS["all"]]
        # In parts, so that a shard does not hold the rows of all files.
        rows = records({5, 6})
        files = [self.put(f"part-{at}.parquet", rows[at * 80 : at * 80 + 80]) for at in range(3)]
        whole = self.score(main, [*arguments, "--jobs=1"], files)
        parts = [self.score(main, [*arguments, "--jobs=2"], files, start=at, end=at + 80) for at in (0, 80, 160)]
        self.assertEqual(b"".join(parts), whole)
        self.assertEqual(self.score(main, arguments, files), whole)
        self.assertNotEqual(self.score(main, arguments, files, seed=8), whole)

    def test_probabilities_are_those_of_scikit_learns_cross_validation(self):
        rows = records({3, 77, 200})
        labels = np.array([ord(row["label"]) - ord("a") for row in rows])
        folds = PredefinedSplit(folds_of(labels, 4, 7))
        points = np.array([[row["x"], row["y"]] for row in rows])
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        expected = cross_val_predict(model, points, labels, cv=folds, method="predict_proba")
        scores = self.run_on(rows, *KINDS["numbers"], "--folds=4")
        for row, score in scores.items():
            # Classes are numbered as they are met, which is their order here.
            self.assertAlmostEqual(score, 1 - expected[row, labels[row]], places=12)
        texts = [row["text"] for row in rows]
        model = make_pipeline(CountVectorizer(ngram_range=(1, 2)), TfidfTransformer(sublinear_tf=True), LogisticRegression(max_iter=1000))
        expected = cross_val_predict(model, texts, labels, cv=folds, method="predict_proba")
        # Wide enough for these words to have a place each; the fits end within their tolerance of each other.
        scores = self.run_on(rows, *KINDS["text"], "--folds=4", "--hash-bits=22")
        for row, score in scores.items():
            self.assertAlmostEqual(score, 1 - expected[row, labels[row]], delta=2e-3)

    def test_no_row_is_judged_by_a_model_that_knew_it(self):
        # More columns than rows: a fit explains any labels, so that labels by lot are surprising to others only.
        random = np.random.RandomState(0)
        points, labels = random.normal(size=(120, 200)), random.randint(0, 2, 120)
        fitted = LogisticRegression(C=100, max_iter=1000).fit(points, labels).predict_proba(points)[np.arange(120), labels]
        crossed = cross_fitted(labels, points, None, strength=100)
        self.assertLess((1 - fitted).mean(), 0.05)
        self.assertGreater(crossed.mean(), 0.4)

    def test_folds_are_a_function_of_rows_and_seed(self):
        labels = np.array([0] * 50 + [1] * 23 + [-1] * 4 + [2] * 3 + [3] * 2)
        fold = folds_of(labels, 5, 1)
        self.assertTrue((fold == folds_of(labels.copy(), 5, 1)).all())
        self.assertFalse((fold == folds_of(labels, 5, 2)).all())
        self.assertTrue(((fold == -1) == (labels == -1)).all())
        for number in range(4):
            sizes = np.bincount(fold[labels == number], minlength=5)
            self.assertLessEqual(sizes.max() - sizes.min(), 1)
        sizes = np.bincount(fold[fold >= 0])
        self.assertLessEqual(sizes.max() - sizes.min(), 1)
        folds_of(labels, 5, -(1 << 63))

    def test_difficulties_have_known_answers(self):
        probabilities = np.array([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5], [0.0, 1.0, 0.0]])
        own = np.array([0, 2, 0])
        for kind, expected in {
            "confidence": [0.3, 0.5, 1],
            "loss": [-math.log(0.7), math.log(2), -math.log(np.finfo(float).tiny)],
            "margin": [-0.5, 0, 1],
            "entropy": [-sum(p * math.log(p) for p in (0.7, 0.2, 0.1)), math.log(2), 0],
        }.items():
            np.testing.assert_allclose(difficulty(probabilities, own, kind), expected, atol=1e-12, err_msg=kind)

    def test_what_is_missing_has_no_score_or_the_mean(self):
        rows = records()
        missing = ((3, "label", None), (4, "label", ""), (7, "vector", None), (8, "vector", [1.0]), (9, "text", ""), (10, "x", None))
        for row, name, value in missing:
            rows[row][name] = value
        scores = self.run_on(rows, *KINDS["all"], name="data.jsonl")
        self.assertEqual(set(range(ROWS)) - scores.keys(), {3, 4, 7, 8, 9})
        self.assertIn("left out: 2 rows without a label, 3 without an embedding or a text", self.said)
        self.assertIn("5 have no score", self.said)

    def test_rare_classes(self):
        rows = records()
        rows[0]["label"] = "alone"
        for row in (1, 4):
            rows[row]["label"] = "pair"
        scores = self.run_on(rows, *KINDS["numbers"])
        self.assertEqual(set(range(ROWS)) - scores.keys(), {0})
        self.assertIn("1 classes have one row only", self.said)
        self.assertIn("1 classes have fewer rows than the 5 folds", self.said)
        self.assertGreater(min(scores[1], scores[4]), 0.9)

    def test_classes_that_are_none(self):
        def refused(words, rows, *arguments, code=SCORER_FAULT):
            self.refused(code, words, main, ["--label-column=label", *arguments], [self.put("data.jsonl", rows)])

        numbers = KINDS["numbers"]
        refused("1 classes, of which 1 have two rows", [{**row, "label": "a"} for row in records()], *numbers)
        refused("0 classes, of which 0", [{**row, "label": None} for row in records()], *numbers)
        refused("240 classes, of which 0", [{**row, "label": at} for at, row in enumerate(records())], *numbers)
        refused("more than 1000 different values: is it a class", [{"label": at, "x": 1} for at in range(1001)], "--number-columns=x")
        refused("column `z` has no number in any row", records(), "--number-columns=x,z")
        refused("confidence: nothing to judge by", records())
        refused("--folds is at least 2", records(), *numbers, "--folds=1")
        self.refused(
            SCORER_FAULT, "column `y` is not", main, ["--label-column=label", *numbers], [self.put("data.csv", [{"x": 1, "label": 2}] * 3)]
        )


if __name__ == "__main__":
    unittest.main()
