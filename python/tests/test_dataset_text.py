"""Rows of CSV and JSON Lines by number, beside plain readers and the operator's own count."""

import csv
import io
import json
import os
import pickle
import random
import unittest
import warnings
from unittest import mock

from rowfiles import RowsCase, inspected, records

import curriculum_client as curriculum
from curriculum_client.dataset import scan
from curriculum_client.errors import BadRow, CurriculumError, DatasetError

MARK = b"\xef\xbb\xbf"
#: Tricky files of docs/data.md, with the rows that they have: those of src/scoring/tests/rows.rs, and more.
CSV = [
    (b"a,b\n1,x\n2,y\n", [("1", "x"), ("2", "y")]),
    (b"a,b\n1,x\n2,y", [("1", "x"), ("2", "y")]),
    (b"a,b\r\n1,x\r\n2,y\r\n", [("1", "x"), ("2", "y")]),
    (b"a,b\r1,x\r2,y\r", [("1", "x"), ("2", "y")]),
    (b"a,b\n1,x\r\r\n2,y\r3,z\n", [("1", "x"), ("2", "y"), ("3", "z")]),
    (b"a,b\n1,x\n\n2,y\n", [("1", "x"), ("2", "y")]),
    (b"a,b\n1,x\n2,y\n\n\n", [("1", "x"), ("2", "y")]),
    (b"a,b\n1,x\n,\n2,y\n", [("1", "x"), ("", ""), ("2", "y")]),
    (b'a,b\n1,"x\ny"\n2,y\n', [("1", "x\ny"), ("2", "y")]),
    (b'a,b\n1,"x\n\ny"\n2,y\n', [("1", "x\n\ny"), ("2", "y")]),
    (b'a,b\n1,"x\r\n\ry"\r\n2,y\r\n', [("1", "x\r\n\ry"), ("2", "y")]),
    (b'a,b\n1,"x,""y""\n"\n2,y\n', [("1", 'x,"y"\n'), ("2", "y")]),
    (b'a,b\n1, "x"\n2,y\n', [("1", ' "x"'), ("2", "y")]),
    (b'a,b\n1,5" pipe\n2,y\n', [("1", '5" pipe'), ("2", "y")]),
    (b'a,b\n"1"x"y",2\n3,"""\n"""\n', [('1x"y"', "2"), ("3", '"\n"')]),
    (b'"a","b"\n"","\n"\n', [("", "\n")]),
    (MARK + b"a,b\n1,x\n2,y\n", [("1", "x"), ("2", "y")]),
    (MARK + b'"a",b\n1,x\n', [("1", "x")]),
    (b"a,b\n1,\0\n2,y\n", [("1", "\0"), ("2", "y")]),
    (b"\n\na,b\n1,x\n2,y\n", [("1", "x"), ("2", "y")]),
    (b"a,b\n1,\xff\n", [("1", "\ufffd")]),
    (b"a,b\n", []),
    (b"a,b", []),
]
JSON = [
    (b'{"a":1}\n\n  \n{"a":2}\n', 2),
    (b'{"a":1}\r\n{"a":2}', 2),
    (b'{"a":NaN}\n{"a":1}\n', 2),
    (b'{"a":1,"b":[NaN,{"c":-Infinity}]}\n', 1),
    (b'{"a":1e400}\n{"a":1}\n', 2),
    (b'{"a":1,"b":"x \\ud83d y"}\n', 1),
    (b'{"a":1,"a":2}\n', 1),
    (b'{"a":"\xff"}\n', 1),
    (MARK + b'{"a":1}\n', 1),
    (MARK + b"\n \t\x0c\r\n" + b'{"a":1}', 1),
    (b'\n\n{"a":' + b"9" * 5000 + b"}\n", 1),
]


def fields(rows):
    return [None if row is None else tuple(row.values()) for row in rows]


class Csv(RowsCase):
    def test_tricky_files_have_the_rows_that_the_operator_counts(self):
        for data, rows in CSV:
            for piece in (1, 2, 5, 1 << 20):
                with self.subTest(data=data, piece=piece), mock.patch.object(scan, "_PIECE", piece):
                    path = self.put(f"{piece}/data.csv", data)
                    self.assertEqual(fields(self.open(path)), rows)
            self.assertEqual(inspected(path), (len(rows), 0), data)

    def test_an_empty_file_has_no_rows(self):
        dataset = self.open(self.put("data.csv", b""))
        self.assertEqual((len(dataset), list(dataset), dataset.__getitems__([])), (0, [], []))

    def test_random_files_are_read_as_byte_by_byte(self):
        generator = random.Random(1)
        parts = [b"a", b"1", b'"', b'"', b'""', b",", b",", b"\n", b"\r\n", b" ", "\u00e9".encode(), b',"x\n', b'",', b'"\n']
        unclosed = 0
        for case in range(400):
            alphabet = parts + [b"\r"] * (case % 3 == 0)
            body = b"".join(generator.choice(alphabet) for _ in range(generator.randrange(40)))
            data = generator.choice((b"", MARK, b"\n", b"\r\n")) + b"a,b" + generator.choice((b"\n", b"\r\n")) + body
            path = self.put(f"{case}.csv", data)
            expected = records(data)
            with self.subTest(data=data), mock.patch.object(scan, "_PIECE", generator.choice((1, 3, 8, 1 << 20))):
                if expected[-1] is None:
                    unclosed += 1
                    with self.assertRaisesRegex(DatasetError, "never closed"):
                        self.open(path)
                    continue
                dataset = self.open(path, bad_rows="none")
                good = [[value.decode() for value in record] if len(record) == 2 else None for _, record in expected[1:]]
                self.assertEqual(list(dataset), [row and dict(zip("ab", row)) for row in good])
                order = [generator.randrange(len(good)) for _ in range(9 if good else 0)]
                self.assertEqual([row and list(row.values()) for row in dataset.__getitems__(order)], [good[row] for row in order])
                # The standard library's reader sees the same, but for empty lines.
                library = [row for row in csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")) if row]
                self.assertEqual(library[1:], [[value.decode() for value in record] for _, record in expected[1:]])
            if case % 8 == 0:
                self.assertEqual(inspected(path), (len(good), good.count(None)), data)
        self.assertGreater(unclosed, 20)

    def test_what_is_never_closed_is_named_as_the_operator_names_it(self):
        for data in (b'n,text\n1,a\n2,"b\n3,c\n4,d\n', b'n,text\n1,a\n2,"b'):
            path = self.put("data.csv", data)
            with self.assertRaisesRegex(DatasetError, "data.csv, line 3: a quote in the row that begins here is never closed"):
                self.open(path)
            self.assertIn("the row that begins in line 3 is never closed", inspected(path))

    def test_a_bad_row_stays_a_row(self):
        path = self.put("data.csv", b'n,m\n1,x\n2\n3,y,z\n   \n4,"v\nw"\n')
        self.assertEqual(inspected(path), (5, 3))
        self.assertEqual(fields(self.open(path, bad_rows="none")), [("1", "x"), None, None, None, ("4", "v\nw")])
        with self.assertRaisesRegex(BadRow, r"data.csv, line 3 \(row 1\): it has 1 field, the header has 2; mend the file"):
            self.open(path)[1]
        self.assertEqual(self.open(path)[4], {"n": "4", "m": "v\nw"})
        # What a transform is not asked to read.
        self.assertEqual(self.open(path, bad_rows="none", transform=lambda row: row["n"]).__getitems__([4, 1]), ["4", None])

    def test_columns_and_delimiters(self):
        path = self.put("data.tsv", b"a\tb\tb\n1\tx,y\t3\n")
        with self.assertRaisesRegex(DatasetError, "column `b` stands twice"):
            self.open(path)
        with self.assertRaisesRegex(DatasetError, "column `c` is not in the header, which has a, b, b"):
            self.open(path, columns=["c"])[0]
        self.assertEqual(self.open(path, columns=["a"])[0], {"a": "1"})
        path = self.put("data.csv", b'a;b\n1;"x;y"\n')
        self.assertEqual(self.open(path, delimiter=";", columns=["b", "a"])[0], {"b": "x;y", "a": "1"})
        with self.assertRaisesRegex(CurriculumError, "expected a list of names"):
            self.open(path, columns="ab")

    def test_each_file_has_a_header_of_its_own(self):
        self.put("0.csv", b"")
        self.put("1.csv", b"a,b\n1,x\n")
        self.put("2.csv", b"b,a\n")
        self.put("3.csv", b'b,a,c\ny,"2\n",z\n\nw,3,v')
        dataset = self.open(self.data)
        self.assertEqual(list(dataset), [{"a": "1", "b": "x"}, {"a": "2\n", "b": "y"}, {"a": "3", "b": "w"}])
        self.put("4.csv", b"a\n1\n")
        with self.assertRaisesRegex(DatasetError, "4.csv: column `b` is not in the header"):
            list(self.open(self.data))

    def test_long_fields_are_read(self):
        text = 'x,"\n' * 200_000
        path = self.put("data.csv", f'a,b\n1,"{text.replace(chr(34), chr(34) * 2)}"\n2,y\n'.encode())
        self.assertEqual(fields(self.open(path)), [("1", text), ("2", "y")])


class JsonLines(RowsCase):
    def test_tricky_files_have_the_rows_that_the_operator_counts(self):
        for data, count in JSON:
            for piece in (1, 2, 5, 1 << 20):
                with self.subTest(data=data[:99], piece=piece), mock.patch.object(scan, "_PIECE", piece):
                    path = self.put(f"{piece}/data.jsonl", data)
                    self.assertEqual([type(row) for row in self.open(path)], [dict] * count)
            self.assertEqual(inspected(path), (count, 0), data[:99])

    def test_random_files_are_read_as_json_reads_their_lines(self):
        generator = random.Random(2)
        for case in range(150):
            lines = []
            for _ in range(generator.randrange(30)):
                row = {"n": generator.random(), "t": "\u00e9\u2028 \x85" * generator.randrange(4), "l": [None, True, {"x": []}]}
                good = json.dumps(row, ensure_ascii=generator.random() < 0.5)
                lines.append(generator.choice((good, good, f" {good}\t", "", " \t", "[1]", '{"n":', "null", f"{good},{good}", "\x0b")))
            end = generator.choice(("\n", "\r\n"))
            data = generator.choice((b"", MARK)) + end.join(lines).encode() + generator.choice((b"", b"\n"))
            path = self.put(f"{case}.jsonl", data)
            expected = []
            for line in lines:
                if line.strip(" \t\r\n\x0c"):
                    try:
                        value = json.loads(line)
                    except ValueError:
                        value = None
                    expected.append(value if isinstance(value, dict) else None)
            with self.subTest(data=data), mock.patch.object(scan, "_PIECE", generator.choice((1, 3, 80, 1 << 20))):
                dataset = self.open(path, bad_rows="none")
                self.assertEqual(list(dataset), expected)
                order = generator.sample(range(len(expected)), len(expected))
                self.assertEqual(dataset.__getitems__(order), [expected[row] for row in order])
            if case % 8 == 0:
                self.assertEqual(inspected(path), (len(expected), expected.count(None)), data)

    def test_a_bad_row_is_named(self):
        path = self.put("data.jsonl", b'{"n":1}\n\nnull\n[1]\n{"n":\n{"n":4}\n')
        self.assertEqual(inspected(path), (5, 3))
        self.assertEqual(list(self.open(path, bad_rows="none")), [{"n": 1}, None, None, None, {"n": 4}])
        dataset = self.open(path)
        for row, words in ((1, "line 3 .row 1.: it is not a JSON object"), (3, "line 5 .row 3.: it is not valid JSON: .* column")):
            with self.assertRaisesRegex(BadRow, words):
                dataset[row]
        deep = self.put("deep.jsonl", b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}")
        with self.assertRaisesRegex(BadRow, "nested too deeply"):
            self.open(deep)[0]

    def test_an_absent_column_is_none(self):
        path = self.put("data.jsonl", b'{"a":1}\n{"b":2}\n')
        self.assertEqual(list(self.open(path, columns=["a"])), [{"a": 1}, {"a": None}])


class Both(RowsCase):
    def test_rows_are_numbered_as_those_of_a_list(self):
        dataset = self.open(self.put("data.jsonl", b'{"a":0}\n{"a":1}\n{"a":2}\n'))
        self.assertEqual((dataset[-1], dataset[True]), ({"a": 2}, {"a": 1}))
        for row in (3, -4):
            with self.assertRaisesRegex(IndexError, f"row {row} is asked for, but the data set has 3 rows"):
                dataset[row]
        with self.assertRaises(TypeError):
            dataset[1.0]
        twins = dataset.__getitems__([1, 0, 1])
        twins[0]["a"] = 7
        self.assertEqual(twins, [{"a": 7}, {"a": 0}, {"a": 1}])

    def test_a_file_is_scanned_once_by_all_processes_of_a_machine(self):
        path = self.put("data.jsonl", b'{"a":0}\n' * 1000)
        dataset = self.open(path)
        with mock.patch("curriculum_client.dataset.text.json_lines", side_effect=AssertionError("scanned again")):
            self.assertEqual(len(self.open(path)), 1000)
            again = pickle.loads(pickle.dumps(dataset))
            self.assertEqual(again[999], {"a": 0})
        self.assertLess(len(pickle.dumps(dataset)), 2000)
        for kept in self.cache.iterdir():
            kept.unlink()
        # Other content, other rows.
        path.write_bytes(b'{"a":1}\n' * 10)
        with self.assertRaisesRegex(DatasetError, "data.jsonl has changed since it was opened"):
            pickle.loads(pickle.dumps(dataset))[0]
        self.assertEqual(list(self.open(path)), [{"a": 1}] * 10)

    def test_without_a_place_for_the_cache_offsets_stay_in_memory(self):
        path = self.put("data.csv", b"a\n1\n2\n")
        for name in ("check", "make"):
            with mock.patch(f"curriculum_client.dataset.cache.Cache._{name}", side_effect=OSError(28, "No space left on device")):
                with self.assertWarnsRegex(RuntimeWarning, "cannot keep .* No space left on device"):
                    dataset = self.open(path)
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    self.assertEqual(fields(pickle.loads(pickle.dumps(dataset))), [("1",), ("2",)])

    def test_a_cache_that_others_can_write_is_refused(self):
        self.cache.mkdir()
        self.cache.chmod(0o777)
        path = self.put("data.csv", b"a\n1\n")
        with self.assertRaisesRegex(DatasetError, "can be written by other users"):
            self.open(path)
        # What was put there before is not believed either.
        self.cache.chmod(0o700)
        self.open(path)
        self.cache.chmod(0o777)
        with self.assertRaisesRegex(DatasetError, "can be written by other users"):
            self.open(path)

    def test_a_file_that_became_shorter_is_told(self):
        path = self.put("data.jsonl", b'{"a":0}\n' * 100)
        dataset = self.open(path)
        os.truncate(path, 40)
        with self.assertRaisesRegex(DatasetError, "data.jsonl has become shorter"):
            dataset[50]

    def test_far_and_near_rows_of_large_files(self):
        rows = [{"row": row, "text": "x" * (row % 977)} for row in range(20_000)]
        dataset = self.open(self.put("data.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode()))
        generator = random.Random(3)
        for size in (1, 10, 5000, 20_000):
            order = generator.sample(range(len(rows)), size)
            self.assertEqual(dataset.__getitems__(order), [rows[row] for row in order])

    def test_the_length_is_compared_with_the_plan(self):
        sampler = self.start()
        for count, right in ((500, True), (499, False)):
            dataset = self.open(self.put(f"{count}.jsonl", b"{}\n" * count))
            with self.subTest(count=count):
                if right:
                    batches = curriculum.open_sampler(dataset=dataset, client=curriculum.Sampler(sampler.url))
                    self.assertEqual(len(dataset.__getitems__(next(iter(batches)))), 12)
                else:
                    with self.assertRaisesRegex(CurriculumError, "has 499 rows, but the curriculum was planned for 500"):
                        curriculum.open_sampler(dataset=dataset, client=curriculum.Sampler(sampler.url))


if __name__ == "__main__":
    unittest.main()
