"""What the scorers have in common, and that images get what the tests ran with."""

import math
import re
import unittest
from unittest import mock

from support import ROOT, ShardCase

import shard
from shard import DATA_FAULT, SCORER_FAULT, Fault, Shard


class TheShard(ShardCase):
    def test_rows_of_several_files_in_pieces(self):
        files = [self.put(f"{at}.jsonl", [{"a": at * 10 + row} for row in range(5)]) for at in range(3)]
        found = Shard.from_environment(self.environment(files, 3, 12))
        pieces = [(first, [record["a"] for record in records]) for first, records in found.read(["a"], 4)]
        self.assertEqual(pieces, [(3, [3, 4, 10, 11]), (7, [12, 13, 14, 20]), (11, [21])])
        self.assertEqual(
            [record["a"] for _, records in found.read_all(["a"], 7) for record in records], [*range(5), *range(10, 15), *range(20, 25)]
        )
        self.assertEqual(found.rows, 9)

    def test_files_of_other_shards_that_are_not_there(self):
        files = [self.put("a.jsonl", [{"a": 1}]), (self.folder / "b.jsonl", 4)]
        found = Shard.from_environment(self.environment(files, 0, 1))
        self.assertEqual([*found.read(["a"])], [(0, [{"a": 1}])])
        with self.assertRaisesRegex(Fault, "1 files of the data set are not there, such as .*b.jsonl, .* use `shards: 1`") as told:
            next(found.read_all(["a"]))
        self.assertEqual(told.exception.code, SCORER_FAULT)

    def test_bad_rows_keep_their_place(self):
        path = self.folder / "d.jsonl"
        path.write_text('{"a": 1}\nno row\n{"a": 3}\n')
        rows = [records for _, records in Shard.from_environment(self.environment([(path, 3)])).read(["a"])]
        self.assertEqual(rows, [[{"a": 1}, None, {"a": 3}]])

    def test_variables_that_are_missing(self):
        environment = self.environment([self.put("d.csv", [{"a": 1}])])
        with self.assertRaisesRegex(Fault, "CURRICULUM_OUTPUT is not set") as told:
            Shard.from_environment({name: value for name, value in environment.items() if name != "CURRICULUM_OUTPUT"})
        self.assertEqual(told.exception.code, SCORER_FAULT)
        # An operator before this variable: of one shard the files are all files.
        del environment["CURRICULUM_ALL_FILES"]
        self.assertEqual(len([*Shard.from_environment(environment).read_all(["a"])]), 1)
        several = Shard.from_environment({**environment, "CURRICULUM_SHARD_COUNT": "2"})
        with self.assertRaisesRegex(Fault, "CURRICULUM_ALL_FILES is not set"):
            next(several.read_all(["a"]))

    def test_scores_are_there_when_they_are_whole(self):
        output = self.folder / "scores"
        with self.assertRaises(ZeroDivisionError), shard.Scores(f"{output}.csv") as scores:
            scores.add(0, 1 / 0)
        self.assertFalse([*self.folder.iterdir()])
        with shard.Scores(f"{output}.csv") as scores:
            for row, score in enumerate((0.1, None, math.nan, math.inf, 3)):
                scores.add(row, score)
        self.assertEqual([path.name for path in self.folder.iterdir()], ["scores.csv"])
        self.assertEqual((self.folder / "scores.csv").read_text(), "row,score\n0,0.1\n4,3.0\n")
        self.assertEqual((scores.written, scores.left_out), (2, 3))

    def test_an_error_that_is_not_foreseen_is_told_without_its_message(self):
        sample = "".join(("sec", "ret"))

        def fail():
            raise ValueError(sample)

        for raised, code in ((fail, 1), (mock.Mock(side_effect=Fault("words", DATA_FAULT)), DATA_FAULT)):
            with self.assertRaises(SystemExit) as end, mock.patch("sys.stderr") as printed:
                shard.run(raised)
            self.assertEqual(end.exception.code, code)
            self.assertNotIn(sample, str(printed.write.call_args_list))
            self.assertIn("ValueError" if code == 1 else "words", str(printed.write.call_args_list))

    def test_values_as_texts_and_as_labels(self):
        self.assertEqual([shard.text_of(value) for value in ("a", b"\xc3\xa9", b"\xff", 7, None)], ["a", "é", None, None, None])
        labels = ((7, "7"), (7.0, "7"), (0.5, "0.5"), ("7", "7"), (True, "true"), (1, "1"), ("", None), (math.nan, None), (None, None))
        for value, expected in labels:
            self.assertEqual(shard.label_of(value), expected, value)

    def test_processors_of_a_pod(self):
        limit = self.folder / "cpu.max"
        with mock.patch("shard._CPU_LIMIT", str(limit)), mock.patch("os.sched_getaffinity", return_value={*range(8)}):
            self.assertEqual(shard.cpus(), 8)
            for text, expected in (("max 100000", 8), ("150000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8)):
                limit.write_text(text)
                self.assertEqual(shard.cpus(), expected, text)


class Images(unittest.TestCase):
    def test_images_have_the_versions_that_the_tests_ran_with(self):
        tested = self.pins("python/tests/frameworks/requirements.txt") | self.pins("scorers/tests/requirements.txt")
        for name in ("perplexity", "confidence"):
            for package, version in self.pins(f"scorers/{name}/requirements.txt").items():
                self.assertEqual(tested.get(package), version, package)
        version = re.search(r"PYTORCH_VERSION=(\S+)", (ROOT / "scorers/perplexity/Containerfile").read_text()).group(1)
        self.assertEqual(tested["torch"], version)

    def test_each_option_is_in_the_readme(self):
        for name in ("perplexity", "confidence"):
            options = re.findall(r'add\("(--[a-z-]+)"', (ROOT / f"scorers/{name}/score.py").read_text())
            listed = re.findall(r"^\| `(--[a-z-]+)` \|", (ROOT / f"scorers/{name}/README.md").read_text(), re.M)
            self.assertEqual(sorted(options), sorted(listed))

    @staticmethod
    def pins(path):
        return dict(line.split("==") for line in (ROOT / path).read_text().splitlines() if "==" in line)


if __name__ == "__main__":
    unittest.main()
