"""Rows by number as the operator's own inspection and sampler tell files, order and offsets, beside what is found without them."""

import gzip
import os
import random
import unittest

from rowfiles import KEY, RowsCase, inspect, records
from support import attempt

import curriculum_client as curriculum
from curriculum_client.dataset.offsets import LocalOffsets, SamplerOffsets

MARK = b"\xef\xbb\xbf"


class WithTheOperator(RowsCase):
    def compare(self, files, format, paths, offsets=SamplerOffsets):
        """The rows of the job's data set, which are those of the same files without the sampler."""
        place = self.folder / f"{random.getrandbits(64):x}"
        root, store = place / "data", place / "store"
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        told = inspect(root, format, paths, store)
        self.assertIn("inspected", told, files)
        count = told["inspected"]["rows"]
        sampler = self.start({**attempt(), "rows": count}, manifest=store / "scores" / KEY / "manifest.json")
        listed = isinstance(paths, list)
        os.environ.update(
            CURRICULUM_SAMPLER=sampler.url,
            CURRICULUM_DATASET_ROOT=str(root),
            CURRICULUM_DATASET=str(root if listed else root / paths),
            CURRICULUM_FORMAT=format,
        )
        dataset = self.open(None, bad_rows="none", unpack=1 << 20)
        self.assertIsInstance(dataset._offsets, offsets)
        rows = [repr(row) for row in dataset]
        self.assertEqual(len(rows), count)
        named = [root / name for name in paths] if listed else root / paths
        # In the order of names, found without the sampler, and with offsets that were found here.
        without = self.open(named, format, bad_rows="none", unpack=1 << 20, sampler=False)
        self.assertIsInstance(without._offsets, LocalOffsets)
        self.assertEqual([repr(row) for row in without], rows, files)
        if len(dataset) >= 12:
            batches = curriculum.open_sampler(dataset=dataset, client=curriculum.Sampler(sampler.url))
            asked = next(iter(batches))
            self.assertEqual([repr(row) for row in dataset.__getitems__(asked)], [rows[row] for row in asked])
        return list(dataset)

    def test_random_files_of_csv(self):
        generator = random.Random(14)
        parts = [b"a", b'"', b'""', b",", b",", b"\n", b"\n", b"\r\n", b"\r", b" ", "\u00e9".encode(), b',"x\n', b'",', b'"\n']
        for _ in range(25):
            files = {"d/z.csv": b"a,b\n" + b"1,x\n" * 12}
            for number in range(generator.randrange(3)):
                body = b'"'
                while records(body)[-1:] == [None]:
                    body = b"".join(generator.choice(parts) for _ in range(generator.randrange(30)))
                    body = generator.choice((b"", MARK, b"\n", b"\r\n")) + b"a,b" + generator.choice((b"\n", b"\r\n")) + body
                files[f"{generator.choice('dDe')}/{number}{generator.choice('-_B')}.csv"] = body
            self.compare(files, "Csv", generator.choice(([*files], [*files][::-1], "**/*.csv", "*/*", "**")))

    def test_random_files_of_json_lines(self):
        generator = random.Random(15)
        lines = (b'{"a":1}', b'{"a":"x"}', b"", b" \t", b"null", b"\x0b", b'{"a":"\xff"}', b"\x0c", b'{"a":NaN}', b'{"a":')
        for _ in range(25):
            files = {"z.jsonl": b'{"a":0}\n' * 12}
            for number in range(generator.randrange(4)):
                body = generator.choice((b"\n", b"\r\n")).join(generator.choice(lines) for _ in range(generator.randrange(9)))
                files[f"{number}.jsonl"] = generator.choice((b"", MARK)) + body + generator.choice((b"", b"\n"))
            self.compare(files, "JsonLines", generator.choice(([*files], [*files][::-1], "*.jsonl", "[!_]*.jsonl", "?.jsonl")))

    def test_packed_files_among_others(self):
        files = {"a.jsonl.gz": gzip.compress(b'{"a":1}\n\n{"a":2}'), "b.jsonl": b'{"a":3}\n'}
        self.assertEqual([row["a"] for row in self.compare(files, "JsonLines", "*.jsonl*", LocalOffsets)], [1, 2, 3])

    def test_names_of_a_folder(self):
        names = (
            "b.jsonl",
            "a/c.ndjson",
            "a-b.jsonl",
            "a/.x/d.jsonl",
            "_e.jsonl",
            "f.txt",
            "B/g.jsonl",
            "\u00e9.jsonl",
            "a0.jsonl",
            "p-*.jsonl",
        )
        files = {f"d/{name}": b'{"a":"%s"}\n' % name.encode() for name in names}
        expected = ["B/g.jsonl", "a-b.jsonl", "a/c.ndjson", "a0.jsonl", "b.jsonl", "p-*.jsonl", "\u00e9.jsonl"]
        self.assertEqual([row["a"] for row in self.compare(files, "JsonLines", "d")], expected)
        self.assertEqual([row["a"] for row in self.compare(files, "JsonLines", "d/p-*.jsonl")], ["p-*.jsonl"])
        self.assertEqual(
            [row["a"] for row in self.compare(files, "JsonLines", "d/**/[a-c]*")], ["a-b.jsonl", "a/c.ndjson", "a0.jsonl", "b.jsonl"]
        )


if __name__ == "__main__":
    unittest.main()
