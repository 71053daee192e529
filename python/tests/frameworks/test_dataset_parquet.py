"""Rows of Parquet by number, beside what pyarrow makes of whole files; and text, beside what pyarrow reads."""

import datetime
import decimal
import itertools
import json
import os
import pathlib
import pickle
import random
import subprocess
import sys
import unittest
import warnings
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import zstandard
from rowfiles import RowsCase
from torch.utils.data import DataLoader

from curriculum_client.dataset import parquet
from curriculum_client.errors import DatasetError

#: How a data set may be opened: all kept, nothing kept, some kept, copies, too little room for copies.
WAYS = ({}, {"memory": 0}, {"memory": 3000}, {"unpack": 1 << 24}, {"unpack": 1 << 24, "memory": 4000}, {"unpack": 100})


def table(generator, rows):
    """Columns of many types, some with nulls."""

    def nulls(values):
        return [None if generator.random() < 0.2 else value for value in values]

    numbers = [generator.randrange(-100, 100) for _ in range(rows)]
    texts = ["\u00e9" * generator.randrange(9) for _ in range(rows)]
    lists = [[float(k) for k in range(generator.randrange(4))] for _ in range(rows)]
    when = [datetime.datetime(2026, 1, 1) + datetime.timedelta(microseconds=number) for number in numbers]
    return pa.table(
        {
            "i8": pa.array(numbers, pa.int8()),
            "u64": pa.array([number + 2**63 for number in numbers], pa.uint64()),
            "i64": pa.array(nulls(numbers), pa.int64()),
            "f32": pa.array([number / 7 for number in numbers], pa.float32()),
            "f64": pa.array(nulls([number / 7 for number in numbers])),
            "text": pa.array(texts),
            "large": pa.array(texts, pa.large_string()),
            "nulls": pa.array(nulls(texts)),
            "raw": pa.array([text.encode() for text in texts]),
            "flag": pa.array([number > 0 for number in numbers]),
            "list": pa.array(lists, pa.list_(pa.float32())),
            "largelist": pa.array(nulls(lists), pa.large_list(pa.float64())),
            "fixed": pa.array([[number, 1] for number in numbers], pa.list_(pa.int16(), 2)),
            "texts": pa.array([[text] for text in texts]),
            "struct": pa.array([{"a": number, "b": {"c": text}} for number, text in zip(numbers, texts)]),
            "kind": pa.array(texts).dictionary_encode(),
            "when": pa.array(when),
            "price": pa.array([decimal.Decimal(number) / 100 for number in numbers], pa.decimal128(9, 2)),
        }
    )


class Parquet(RowsCase):
    def write(self, rows, groups, seed=1):
        """Files of so many rows each, in row groups of so many; returns all rows."""
        generator, expected = random.Random(seed), []
        for number, (count, group) in enumerate(zip(rows, itertools.cycle(groups))):
            made = table(generator, count)
            pq.write_table(made, self.data / f"{number:03}.parquet", row_group_size=group)
            expected += made.to_pylist()
        return expected

    def test_rows_are_those_of_whole_files(self):
        expected = self.write((100, 0, 37, 256, 1), (30, 1000, 7))
        generator = random.Random(7)
        for options in WAYS:
            with self.subTest(**options), warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                dataset = self.open(self.data, "Parquet", **options)
                self.assertEqual(len(dataset), len(expected))
                for size in (1, 3, 64, len(expected), 64, 2):
                    order = [generator.randrange(len(expected)) for _ in range(size)]
                    self.assertEqual(dataset.__getitems__(order), [expected[row] for row in order])
                self.assertEqual(list(dataset), expected)
                self.assertEqual(pickle.loads(pickle.dumps(dataset))[-1], expected[-1])

    def test_only_columns_that_are_wanted_are_read(self):
        expected = self.write((50, 50), (20,))
        for options in WAYS[:4]:
            dataset = self.open(self.data, "Parquet", columns=["struct", "text"], **options)
            self.assertEqual(list(dataset), [{"struct": row["struct"], "text": row["text"]} for row in expected])
        self.assertEqual(self.open(self.data, "Parquet", transform=lambda row: row["i8"]).__getitems__([3]), [expected[3]["i8"]])
        with self.assertRaisesRegex(DatasetError, r"000.parquet: column `label` is not there; the columns are i8, u64"):
            self.open(self.data, "Parquet", columns=["label"])[0]

    def test_files_may_differ_in_the_order_and_types_of_columns(self):
        pq.write_table(pa.table({"a": [1, 2], "b": ["x", "y"]}), self.data / "0.parquet")
        pq.write_table(
            pa.table({"c": [0], "b": pa.array(["z"], pa.large_string()), "a": pa.array([3], pa.int8())}), self.data / "1.parquet"
        )
        expected = [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"a": 3, "b": "z"}]
        for options in WAYS[:4]:
            dataset = self.open(self.data, "Parquet", **options)
            self.assertEqual([list(dataset), list(dataset)], [expected, expected])
        pq.write_table(pa.table({"a": [1]}), self.data / "2.parquet")
        with self.assertRaisesRegex(DatasetError, "2.parquet: column `b` is not there"):
            self.open(self.data, "Parquet")[3]

    def test_memory_is_bounded_and_what_is_small_becomes_one_piece(self):
        made = pa.table({"n": range(100_000)})
        for number in range(2):
            pq.write_table(made, self.data / f"{number}.parquet", row_group_size=1000)
        dataset = self.open(self.data, "Parquet", memory=80_000)
        with self.assertWarnsRegex(RuntimeWarning, "decoded again and again, since no more than 80000 bytes are kept: give more `memory`"):
            for _ in range(3):
                self.assertEqual([row["n"] for row in dataset.__getitems__(range(0, 100_000, 500))], list(range(0, 100_000, 500)))
                self.assertLessEqual(dataset._groups._size, 80_000)
        dataset = self.open(self.data, "Parquet", memory=2_000_000)
        self.assertIsNone(dataset._whole)
        self.assertEqual(
            [row["n"] for row in dataset.__getitems__(range(0, 200_000, 999))], [row % 100_000 for row in range(0, 200_000, 999)]
        )
        self.assertIsNotNone(dataset._whole)
        self.assertEqual(
            [row["n"] for row in dataset.__getitems__(range(5, 200_000, 999))], [row % 100_000 for row in range(5, 200_000, 999)]
        )

    def test_what_was_decoded_is_used_by_later_batches_though_each_batch_wants_all(self):
        pq.write_table(pa.table({"n": range(10_000)}), self.data / "0.parquet", row_group_size=100)
        dataset = self.open(self.data, "Parquet", memory=8 * 100 * 50)
        dataset.__getitems__(range(0, 10_000, 100))
        with mock.patch.object(parquet._Decoded, "read", autospec=True, side_effect=parquet._Decoded.read) as read:
            dataset.__getitems__(range(1, 10_000, 100))
        # Half of them have room, a little less with what Arrow has around the values.
        self.assertLess(read.call_count, 55)

    def test_copies_are_made_once_and_leave_files_out_that_need_too_much(self):
        expected = self.write((100, 200), (30,))
        dataset = self.open(self.data, "Parquet", unpack=1 << 20)
        self.assertEqual(list(dataset), expected)
        with mock.patch.object(parquet._Decoded, "write", side_effect=AssertionError("copied again")):
            self.assertEqual(list(self.open(self.data, "Parquet", unpack=1 << 20)), expected)
        used = sum(path.stat().st_size for path in self.cache.glob("*.arrow"))
        self.assertLessEqual(used, 1 << 20)
        with self.assertWarnsRegex(RuntimeWarning, "the copy of .*000.parquet would take more than its share of `unpack`, "):
            self.assertEqual(list(self.open(self.data, "Parquet", unpack=1 << 10)), expected)

    def test_a_file_that_changed_or_is_damaged_is_named(self):
        self.write((100, 100), (30,))
        dataset = self.open(self.data, "Parquet")
        pq.write_table(table(random.Random(1), 99), self.data / "001.parquet")
        with self.assertRaisesRegex(DatasetError, "001.parquet has 99 rows, but had 100 before"):
            dataset[150]
        (self.data / "000.parquet").write_bytes(b"PAR1 damaged PAR1")
        with self.assertRaisesRegex(DatasetError, "000.parquet cannot be read as Parquet: "):
            dataset[0]
        content = bytearray((self.data / "001.parquet").read_bytes())
        content[40:400] = bytes(360)
        (self.data / "001.parquet").write_bytes(content)
        with self.assertRaisesRegex(DatasetError, "001.parquet cannot be read as Parquet: "):
            self.open(self.data / "001.parquet")[0]

    def test_without_pyarrow_the_extra_is_named(self):
        code = f"import sys; sys.modules['pyarrow'] = None; import curriculum_client as c; c.dataset.open({str(self.data / 'a.parquet')!r})"
        (self.data / "a.parquet").touch()
        environment = {"PYTHONPATH": str(pathlib.Path(__file__).resolve().parents[2])}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
        self.assertRegex(done.stderr, r"CurriculumError: .*pip install 'curriculum-client\[parquet\]'")

    def test_workers_of_a_loader_read_the_same_rows(self):
        expected = self.write((300, 300), (50,))
        generator = random.Random(8)
        batches = [generator.sample(range(600), 32) for _ in range(12)]
        for options, start, workers in (
            ({}, "fork", 2),
            ({"memory": 5000}, "fork", 2),
            ({"unpack": 1 << 20}, "fork", 1),
            ({}, "spawn", 1),
            ({"unpack": 1 << 20}, "spawn", 2),
        ):
            with self.subTest(start=start, workers=workers, **options):
                dataset = self.open(self.data, "Parquet", **options)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)
                    # What the parent has open must not be used by its children.
                    list(dataset)
                loader = DataLoader(dataset, batch_sampler=batches, num_workers=workers, multiprocessing_context=start, collate_fn=list)
                self.assertEqual(list(loader), [[expected[row] for row in batch] for batch in batches])


class Text(RowsCase):
    def test_rows_of_csv_are_those_of_pyarrow(self):
        generator = random.Random(9)
        for case in range(50):
            texts = ["".join(generator.choice('ab",\n\r\u00e9 ') for _ in range(generator.randrange(6))) for _ in range(20)]
            made = pa.table({"n": range(20), "text": texts})
            path = self.data / f"{case}.csv"
            pa.csv.write_csv(made, path)
            dataset = self.open(path)
            self.assertEqual([(int(row["n"]), row["text"]) for row in dataset], list(enumerate(texts)))
            read = pa.csv.read_csv(path, parse_options=pa.csv.ParseOptions(newlines_in_values=True))
            self.assertEqual(read.num_rows, len(dataset))

    def test_zstandard_is_unpacked_when_there_is_room(self):
        text = b"".join(b'{"a":%d}\n' % row for row in range(5000))
        compressor = zstandard.ZstdCompressor()
        frames = compressor.compress(text[:1000]) + compressor.compress(text[1000:])
        path = self.data / "a.jsonl.zst"
        # Parallel compressors begin with a frame to be skipped.
        path.write_bytes(b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"none" + frames)
        with self.assertRaisesRegex(DatasetError, "a.jsonl.zst is packed with Zstandard"):
            self.open(path)
        dataset = self.open(path, unpack=1 << 20)
        self.assertEqual([row["a"] for row in dataset.__getitems__([4999, 0, 77])], [4999, 0, 77])
        path.write_bytes(path.read_bytes()[:-9])
        with self.assertRaisesRegex(DatasetError, "its Zstandard data are damaged or cut off"):
            self.open(path, unpack=1 << 20)

    def test_rows_of_json_lines_are_those_of_the_same_parquet(self):
        made = table(random.Random(10), 50).select(["i8", "f64", "nulls", "list", "struct"])
        pq.write_table(made, self.data / "a.parquet", row_group_size=9)
        (self.data / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made.to_pylist()))
        os.environ.update(CURRICULUM_DATASET=str(self.data / "a.parquet"), CURRICULUM_FORMAT="Parquet")
        self.assertEqual(list(self.open(None)), list(self.open(self.data / "a.jsonl")))


if __name__ == "__main__":
    unittest.main()
