"""Which files a data set is made of, with the sampler's word and without it."""

import array
import gzip
import http.server
import json
import os
import pickle
import random
import threading
import unittest
from unittest import mock

from rowfiles import RowsCase
from support import free_port

import curriculum_client as curriculum
from curriculum_client.dataset import files, offsets
from curriculum_client.errors import CurriculumError, DatasetError


class FakeSampler(http.server.BaseHTTPRequestHandler):
    """Answers for one data set: `rows` is (path, offsets, bytes) of each file; `None`: it knows nothing."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path, _, query = self.path.partition("?")
        server = self.server
        server.asked.append(self.path)
        if path == "/v1/dataset" and server.files is not None:
            about = [{"path": name, "rows": len(begins), "bytes": size} for name, begins, size in server.files]
            rows = sum(file["rows"] for file in about)
            self.answer(200, json.dumps({"format": server.format, "delimiter": server.delimiter, "rows": rows, "files": about}).encode())
        elif path == "/v1/offsets" and server.offsets and server.files is not None:
            asked = dict(part.split("=") for part in query.split("&"))
            first, count = int(asked["from"]), int(asked["count"])
            if count > 65536:
                self.answer(400, b'{"error": "count is above 65536"}')
            every = [begin for _, begins, _ in server.files for begin in begins]
            self.answer(200, array.array("Q", every[first : first + count]).tobytes())
        else:
            self.answer(404, b"nothing is known of the data set's files: training goes on without scores")

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class WithSampler(RowsCase):
    """Files below a mount, and a sampler that knows of them."""

    def setUp(self):
        super().setUp()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), FakeSampler)
        self.server.daemon_threads = True
        self.server.asked, self.server.files, self.server.offsets = [], None, True
        self.server.format, self.server.delimiter = "JsonLines", ","
        thread = threading.Thread(target=self.server.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        os.environ.update(
            CURRICULUM_SAMPLER=f"http://127.0.0.1:{self.server.server_port}",
            CURRICULUM_DATASET_ROOT=str(self.data),
            CURRICULUM_DATASET=str(self.data),
            CURRICULUM_FORMAT="JsonLines",
        )

    def know(self, name, lines):
        """Writes a file, of which the sampler knows where each of the lines begins that are rows."""
        begins, at = [], 0
        for line in lines:
            if line.strip():
                begins.append(at)
            at += len(line)
        self.put(name, b"".join(lines))
        self.server.files = [*(self.server.files or []), (name, begins, at)]

    def asked(self, what):
        return [path for path in self.server.asked if path.startswith(what)]

    def test_the_sampler_says_which_files_in_which_order_and_where_rows_begin(self):
        self.know("b.jsonl", [b'{"a":0}\n', b"\n", b'{"a":1}\n'])
        self.know("empty.jsonl", [])
        self.know("deep/a.jsonl", [b'{"a":2}\n', b'{"a":3}'])
        self.put("not-named.jsonl", b'{"a":9}\n')
        with mock.patch("curriculum_client.dataset.text.json_lines", side_effect=AssertionError("scanned")):
            dataset = self.open(None)
            self.assertEqual([row["a"] for row in dataset.__getitems__([3, 0, 2, 1])], [3, 0, 2, 1])
            self.assertEqual([row["a"] for row in self.open(os.environ["CURRICULUM_DATASET"])], [0, 1, 2, 3])
        # What is no job's data set is none of the sampler's.
        self.server.asked.clear()
        self.assertEqual(len(self.open(self.data, "JsonLines", sampler=False)), 5)
        self.assertEqual(len(self.open(self.data / "not-named.jsonl")), 1)
        self.assertEqual(self.server.asked, [])

    def test_offsets_are_fetched_once_in_blocks_and_shared(self):
        rows = 200_000
        self.know("a.jsonl", [b'{"a":%d}\n' % row for row in range(70_000)])
        self.know("b.jsonl", [b'{"a":%d}\n' % row for row in range(70_000, rows)])
        dataset = self.open(None)
        generator = random.Random(4)
        for batch in (generator.sample(range(rows), 256), [65_535, 65_536, 69_999, 70_000, rows - 1]):
            self.assertEqual([row["a"] for row in dataset.__getitems__(batch)], batch)
        blocks = [path for path in self.asked("/v1/offsets") if not path.endswith("count=1")]
        self.assertEqual(sorted(set(blocks)), sorted(blocks))
        self.assertEqual(len(blocks), 4)
        self.server.asked.clear()
        again = pickle.loads(pickle.dumps(dataset))
        self.assertEqual(again[123_456], {"a": 123_456})
        self.assertEqual(self.server.asked, [])
        # Without a place to keep them a bounded number of blocks stays in memory.
        with mock.patch("curriculum_client.dataset.cache.Cache._check", side_effect=OSError(30, "Read-only file system")):
            with self.assertWarnsRegex(RuntimeWarning, "Read-only"):
                dataset = pickle.loads(pickle.dumps(dataset))
                dataset._offsets._name = "another"
                self.assertEqual([row["a"] for row in dataset.__getitems__([5, rows - 1, 6])], [5, rows - 1, 6])
        self.assertEqual(len(self.asked("/v1/offsets")), 2)

    def test_csv_offsets_may_be_those_of_empty_lines_before_the_row(self):
        os.environ["CURRICULUM_FORMAT"] = self.server.format = "Csv"
        self.server.delimiter = ";"
        data = b'a;b\r\n1;x\r\n\r\n2;"y\r\n"\r\n3\r\n'
        self.put("a.csv", data)
        # The operator's reader begins a record behind the CR of the one before.
        self.server.files = [("a.csv", [4, 9, 20], len(data))]
        dataset = self.open(None)
        self.assertEqual(dataset.__getitems__([1, 0]), [{"a": "2", "b": "y\r\n"}, {"a": "1", "b": "x"}])
        with self.assertRaisesRegex(DatasetError, r"a.csv, line 6 \(row 2\): it has 1 field"):
            dataset[2]

    def test_without_offsets_of_the_sampler_files_are_scanned_and_compared(self):
        self.server.offsets = False
        self.know("a.jsonl", [b'{"a":0}\n', b'{"a":1}\n'])
        self.assertEqual([row["a"] for row in self.open(None)], [0, 1])
        self.server.files = [("a.jsonl", [0], 16)]
        with self.assertRaisesRegex(DatasetError, "a.jsonl has 2 rows, but the sampler says 1"):
            self.open(None)

    def test_a_sampler_that_knows_nothing_leaves_it_to_the_order_of_names(self):
        self.put("d/b.jsonl", b'{"a":1}\n')
        self.put("d/B.jsonl", b'{"a":0}\n')
        os.environ["CURRICULUM_DATASET"] = str(self.data / "d")
        self.assertEqual([row["a"] for row in self.open(None)], [0, 1])
        self.assertEqual(self.server.asked, ["/v1/dataset"])
        # A job that lists its files has an order of its own.
        os.environ["CURRICULUM_DATASET"] = str(self.data)
        self.put("z.jsonl", b'{"a":2}\n')
        os.environ["CURRICULUM_DATASET_PATHS"] = json.dumps(["z.jsonl", "d/*"])
        self.assertEqual([row["a"] for row in self.open(None)], [2, 0, 1])

    def test_a_sampler_that_does_not_answer_is_done_without(self):
        os.environ["CURRICULUM_DATASET"] = str(self.put("a.jsonl", b'{"a":0}\n'))
        gone = curriculum.Sampler(f"http://127.0.0.1:{free_port()}", timeout=0.0)
        with self.assertWarnsRegex(
            RuntimeWarning, "no answer from the sampler .*; the data set's files are read in the order of their names"
        ):
            self.assertEqual(list(self.open(None, sampler=gone)), [{"a": 0}])

    def test_files_that_changed_since_the_inspection_are_refused(self):
        self.know("a.jsonl", [b'{"a":0}\n'])
        self.put("a.jsonl", b'{"a":0}\n{"a":1}\n')
        with self.assertRaisesRegex(DatasetError, "a.jsonl had 8 bytes when the data set was inspected and now has 16"):
            self.open(None)
        (self.data / "a.jsonl").unlink()
        with self.assertRaisesRegex(DatasetError, "a.jsonl, which the sampler names, cannot be read: No such file"):
            self.open(None)

    def test_packed_text_of_the_job_needs_room_for_a_copy(self):
        packed = gzip.compress(b'{"a":0}\n\n{"a":1}\n')
        self.put("a.jsonl.gz", packed)
        self.server.offsets = False
        self.server.files = [("a.jsonl.gz", [0, 0], len(packed))]
        with self.assertRaisesRegex(DatasetError, "a.jsonl.gz is packed with gzip, .* or give `unpack`"):
            self.open(None)
        self.assertEqual([row["a"] for row in self.open(None, unpack=17)], [0, 1])
        with self.assertRaisesRegex(DatasetError, "more than `unpack` allows, of which 16 bytes were left for .*a.jsonl.gz"):
            self.open(None, unpack=16)


class Find(RowsCase):
    def names(self, path, format="JsonLines"):
        return [os.path.relpath(found, self.data) for found in files.find(str(self.data / path), format)]

    def setUp(self):
        super().setUp()
        for name in (
            "b.jsonl",
            "B.jsonl",
            "a.txt",
            "a/z.ndjson",
            "a/b/c.jsonl.gz",
            "a-b.jsonl",
            ".c.jsonl",
            "_d.jsonl",
            "a/.git/e.jsonl",
            "a/_f/g.jsonl",
            "train-*.jsonl",
            "train-0.jsonl",
            "train-10.jsonl",
            "train-2.jsonl",
            "[x].jsonl",
            "\u00e9.jsonl",
        ):
            self.put(name, b"{}\n")

    def test_a_folder_has_the_files_of_its_format_in_the_order_of_their_bytes(self):
        expected = [
            "B.jsonl",
            "[x].jsonl",
            "a-b.jsonl",
            "a/b/c.jsonl.gz",
            "a/z.ndjson",
            "b.jsonl",
            "train-*.jsonl",
            "train-0.jsonl",
            "train-10.jsonl",
            "train-2.jsonl",
            "\u00e9.jsonl",
        ]
        self.assertEqual(self.names(""), expected)
        self.assertEqual(self.names("a/"), ["a/b/c.jsonl.gz", "a/z.ndjson"])
        with self.assertRaisesRegex(DatasetError, r"has no file in it or below whose name ends with .parquet"):
            self.names("a", "Parquet")

    def test_patterns(self):
        for pattern, expected in {
            "train-*.jsonl": ["train-*.jsonl"],
            "train-?.jsonl": ["train-*.jsonl", "train-0.jsonl", "train-2.jsonl"],
            "train-??.jsonl": ["train-10.jsonl"],
            "train-[0-2].jsonl": ["train-0.jsonl", "train-2.jsonl"],
            "train-[!0-1].jsonl": ["train-*.jsonl", "train-2.jsonl"],
            "[[]x].jsonl": ["[x].jsonl"],
            "[]b].jsonl": ["b.jsonl"],
            "*.jsonl": [
                "B.jsonl",
                "[x].jsonl",
                "a-b.jsonl",
                "b.jsonl",
                "train-*.jsonl",
                "train-0.jsonl",
                "train-10.jsonl",
                "train-2.jsonl",
                "\u00e9.jsonl",
            ],
            "*/*": ["a/z.ndjson"],
            "**/z.*": ["a/z.ndjson"],
            "a/**": ["a/b/c.jsonl.gz", "a/z.ndjson"],
            "**/b*/*": ["a/b/c.jsonl.gz"],
            "**/a*": ["a-b.jsonl", "a.txt"],
        }.items():
            with self.subTest(pattern=pattern):
                self.assertEqual(self.names(pattern), expected)
        for pattern, words in (("x*.jsonl", "no file has a path like"), ("x.jsonl", "does not exist"), ("[x", "its `\\[` is not closed")):
            with self.subTest(pattern=pattern), self.assertRaisesRegex(DatasetError, words):
                self.names(pattern)

    def test_a_link_to_a_file_is_followed_and_one_to_a_folder_is_refused(self):
        (self.data / "a/link.jsonl").symlink_to(self.data / "b.jsonl")
        self.assertEqual(self.names("a/*.jsonl"), ["a/link.jsonl"])
        (self.data / "linked").symlink_to(self.data / "a")
        with self.assertRaisesRegex(DatasetError, "linked is a link to a folder"):
            self.names("")

    def test_rows_run_on_through_files(self):
        for number, rows in enumerate((3, 0, 0, 5, 1, 0)):
            self.put(f"many/{number}.jsonl", b"".join(b'{"a":%d,"file":%d}\n' % (row, number) for row in range(rows)))
        expected = [(0, 0), (1, 0), (2, 0), (0, 3), (1, 3), (2, 3), (3, 3), (4, 3), (0, 4)]
        dataset = self.open(self.data / "many")
        for order in (range(9), [8, 0, 4, 2, 3], range(8, -1, -1)):
            self.assertEqual([(row["a"], row["file"]) for row in dataset.__getitems__(order)], [expected[row] for row in order])
        listed = self.open([self.data / "many/4.jsonl", self.data / "many/0.jsonl"])
        self.assertEqual([row["file"] for row in listed], [4, 0, 0, 0])
        with self.assertRaisesRegex(CurriculumError, "4.jsonl is named twice"):
            self.open([self.data / "many/4.jsonl", self.data / "many"], "JsonLines")

    def test_more_files_than_may_be_open(self):
        for number in range(300):
            self.put(f"many/{number:03}.csv", b"a\n%d\n" % number)
        with mock.patch.object(offsets, "_OPEN_TABLES", 7):
            dataset = self.open(self.data / "many")
            before = len(os.listdir("/proc/self/fd"))
            self.assertEqual([int(row["a"]) for row in dataset], list(range(300)))
            self.assertLess(len(os.listdir("/proc/self/fd")), before + 140)

    def test_the_format_shows_or_is_asked_for(self):
        self.assertEqual(len(self.open(self.data / "b.jsonl")), 1)
        with self.assertRaisesRegex(CurriculumError, "a.txt: the format does not show; give `format`, one of Parquet, Csv"):
            self.open(self.data / "a.txt")
        self.assertEqual(len(self.open(self.data / "a.txt", "JsonLines")), 1)
        with self.assertRaisesRegex(CurriculumError, "`format` is 'Json'"):
            self.open(self.data / "a.txt", "Json")
        with self.assertRaisesRegex(CurriculumError, "no data set: give `path`"):
            self.open(None)
        with self.assertRaisesRegex(CurriculumError, "`bad_rows` is 'skip'"):
            self.open(self.data / "b.jsonl", bad_rows="skip")


class Packed(RowsCase):
    def test_gzip_is_unpacked_once_when_there_is_room(self):
        path = self.put("data.csv.gz", gzip.compress(b"a,b\n1,x\n") + gzip.compress(b"2\n3,z\n"))
        with self.assertRaisesRegex(
            DatasetError, "data.csv.gz is packed with gzip, so that no row can be read without all those before it"
        ):
            self.open(path)
        dataset = self.open(path, unpack=1 << 20)
        with self.assertRaisesRegex(DatasetError, r"data.csv.gz, line 3 \(row 1\): it has 1 field"):
            dataset[1]
        with mock.patch("gzip.open", side_effect=AssertionError("unpacked again")):
            self.assertEqual(self.open(path, unpack=1 << 20)[2], {"a": "3", "b": "z"})

    def test_the_room_is_for_all_files(self):
        for name in ("a", "b"):
            self.put(f"{name}.jsonl.gz", gzip.compress(b'{"a":1}\n' * 10))
        self.assertEqual(len(self.open(self.data, "JsonLines", unpack=160)), 20)
        with self.assertRaisesRegex(DatasetError, "of which 79 bytes were left for .*b.jsonl.gz"):
            self.open(self.data, "JsonLines", unpack=159)

    def test_damaged_and_other_files_are_named(self):
        packed = gzip.compress(b'{"a":1}\n' * 1000)
        for name, data, words in (
            ("cut.jsonl", packed[:-20], "its gzip data are damaged or cut off"),
            ("a.jsonl", b"BZh91AY&SY......", "packed with bzip2; unpack it"),
            ("b.jsonl", b"\xfd7zXZ\0......", "packed with xz"),
            ("c.csv", b"PK\x03\x04......", "it is a zip archive"),
            ("d.csv", b"PAR1......", 'it is a Parquet file; give format="Parquet"'),
            ("e.csv", b"\xff\xfen\0\n\0", "its text is UTF-16"),
        ):
            with self.subTest(name=name), self.assertRaisesRegex(DatasetError, words):
                self.open(self.put(name, data), unpack=1 << 20)


class InTheEnvironment(RowsCase):
    def test_path_format_and_delimiter_are_those_of_the_job(self):
        path = self.put("rows.txt", b"a|b\n1|x,y\n")
        os.environ.update(CURRICULUM_DATASET=str(path), CURRICULUM_FORMAT="Csv", CURRICULUM_DELIMITER="|")
        dataset = curriculum.dataset.open(cache=self.cache)
        self.assertEqual(list(dataset), [{"a": "1", "b": "x,y"}])


if __name__ == "__main__":
    unittest.main()
