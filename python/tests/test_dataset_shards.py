"""Shards and folders that the operator does not read itself: WebDataset, MDS, folders of images, and their tables."""

import csv
import gzip
import io
import json
import pathlib
import pickle
import random
import struct
import subprocess
import sys
import tarfile
import unittest
from unittest import mock

from rowfiles import RowsCase, inspected

from curriculum_client.dataset import table
from curriculum_client.errors import CurriculumError, DatasetError

ROOT = pathlib.Path(__file__).resolve().parents[1]
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def shard(members, format=tarfile.PAX_FORMAT, **more):
    """A tar archive of (name, content); content `None` is a folder."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, **more) as archive:
        for name, content in members:
            about = tarfile.TarInfo(name)
            if content is None:
                about.type = tarfile.DIRTYPE
            else:
                about.size = len(content)
            archive.addfile(about, io.BytesIO(content or b""))
    return out.getvalue()


class WebDataset(RowsCase):
    def test_samples_are_consecutive_files_of_one_basename(self):
        long = "d" * 120 + "/" + "n" * 60
        members = [
            ("__meta__/about.json", b"{}"),
            ("a", None),
            ("a/1.jpg", b"one"),
            ("a/1.CLS", b"3"),
            ("README", b"no sample"),
            ("a/1.seg.png", b""),
            ("b/1.jpg", b"x" * 5000),
            (f"{long}.txt", "\u00e9".encode()),
            (f"{long}.json", b"{}"),
            ("a/1.jpg", b"again"),
        ]
        expected = [
            {"__key__": "a/1", "jpg": b"one", "cls": b"3", "seg.png": b""},
            {"__key__": "b/1", "jpg": b"x" * 5000},
            {"__key__": long, "txt": "\u00e9".encode(), "json": b"{}"},
            {"__key__": "a/1", "jpg": b"again"},
        ]
        for name, format in FORMATS.items():
            with self.subTest(format=name):
                path = self.put(f"{name}.tar", shard(members, format))
                dataset = self.open(path)
                self.assertEqual(list(dataset), expected)
                self.assertEqual(dataset.__getitems__([3, 0, 2]), [expected[3], expected[0], expected[2]])
                self.assertEqual(pickle.loads(pickle.dumps(dataset))[1], expected[1])
        self.assertEqual(
            self.open(path, columns=["cls", "txt"]).__getitems__([0, 1]), [{"cls": b"3", "txt": None}, {"cls": None, "txt": None}]
        )

    def test_random_shards_are_read_as_tarfile_reads_them(self):
        generator = random.Random(5)
        for case in range(60):
            members = []
            for key in range(generator.randrange(12)):
                name = generator.choice(("", "d/", "\u00e9" * 40 + "/", "x" * 120 + "/")) + f"{key}"
                for suffix in generator.sample(("jpg", "cls", "json", "a.b"), generator.randrange(1, 4)):
                    members.append((f"{name}.{suffix}", generator.randbytes(generator.choice((0, 1, 511, 512, 513, 3000)))))
            data = shard(members, generator.choice(list(FORMATS.values())[1:]), pax_headers={"comment": "global"} if case % 2 else None)
            # Of an archive that was cut off behind a file nothing is missing.
            data = data if case % 5 else data.rstrip(b"\0") + b"\0" * (-len(data.rstrip(b"\0")) % 512)
            samples = []
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                for member in archive:
                    key, _, suffix = member.name.rpartition("/")[2].partition(".")
                    key = member.name[: len(member.name) - len(suffix) - 1]
                    if not samples or samples[-1]["__key__"] != key:
                        samples.append({"__key__": key})
                    samples[-1][suffix] = archive.extractfile(member).read()
            with self.subTest(case=case):
                dataset = self.open(self.put(f"{case}.tar", data))
                self.assertEqual(list(dataset), samples)

    def test_several_shards_and_names_with_braces(self):
        for number in range(8, 12):
            self.put(f"s-{number:02}.tar", shard([(f"{number}.{row}.txt", b"%d" % row) for row in range(1)] + [(f"k{number}.txt", b"")]))
        for path in (self.data, self.data / "s-*.tar", self.data / "s-{08..11}.tar"):
            dataset = self.open(path, "WebDataset")
            self.assertEqual([row["__key__"] for row in dataset], ["8", "k8", "9", "k9", "10", "k10", "11", "k11"])
        self.assertEqual(len(self.open(self.data / "s-{09..10}.tar")), 4)

    def test_what_cannot_be_read_is_named(self):
        data = shard([("a.txt", b"x")])
        for name, content, words in (
            ("a.tar", gzip.compress(data), "a.tar is packed with gzip, .* unpack the shard"),
            ("b.tar", b"x" * 2000, "b.tar is no tar archive, or damaged: there is no header at byte 0"),
            ("c.tar", data[:1024] + b"x" * 600, "there is no header at byte 1024"),
            ("d.tar", shard([("a.txt", b"x" * 700)])[:1100], "d.tar is cut off: `a.txt`, at byte 512, has 700 bytes"),
        ):
            with self.subTest(name=name), self.assertRaisesRegex(DatasetError, words):
                self.open(self.put(name, content))
        twice = self.open(self.put("twice.tar", shard([("a.txt", b"x"), ("a.TXT", b"y")])))
        with self.assertRaisesRegex(DatasetError, "sample `a` has two files `.txt`"):
            twice[0]

    def test_sizes_beyond_eight_gib_are_numbers_too(self):
        from curriculum_client.dataset import tar

        for size in (0, 511, 8**11 - 1, 8**11, 1 << 40):
            about = tarfile.TarInfo("x")
            about.size = size
            header = about.tobuf(tarfile.GNU_FORMAT)
            self.assertEqual(tar._number(header[124:136]), size)


def mds(folder, shards, columns, pack=None):
    """Shards in the documented format. `columns`: name → (encoding, fixed size); a sample is its columns' bytes."""
    index = []
    for number, samples in enumerate(shards):
        name = f"shard.{number:05}.mds"
        encoded = []
        for sample in samples:
            sizes = b"".join(struct.pack("<I", len(sample[column])) for column, (_, size) in columns.items() if size is None)
            encoded.append(sizes + b"".join(sample[column] for column in columns))
        about = json.dumps({"column_names": list(columns)}).encode()
        at = 4 + 4 * (len(samples) + 1) + len(about)
        offsets = [at]
        for sample in encoded:
            offsets.append(offsets[-1] + len(sample))
        data = struct.pack(f"<{len(offsets) + 1}I", len(samples), *offsets) + about + b"".join(encoded)
        entry = {
            "column_encodings": [encoding for encoding, _ in columns.values()],
            "column_names": list(columns),
            "column_sizes": [size for _, size in columns.values()],
            "compression": None,
            "format": "mds",
            "hashes": [],
            "raw_data": {"basename": name, "bytes": len(data), "hashes": {}},
            "samples": len(samples),
            "size_limit": 1 << 26,
            "version": 2,
            "zip_data": None,
        }
        if pack:
            packed = gzip.compress(data)
            (folder / f"{name}.gz").write_bytes(packed)
            entry.update(compression="gz", zip_data={"basename": f"{name}.gz", "bytes": len(packed), "hashes": {}})
        else:
            (folder / name).write_bytes(data)
        index.append(entry)
    (folder / "index.json").write_text(json.dumps({"version": 2, "shards": index}))


class Mds(RowsCase):
    COLUMNS = {
        "text": ("str", None),
        "label": ("int", 8),
        "score": ("float32", 4),
        "more": ("json", None),
        "raw": ("jpeg", None),
        "n": ("str_int", None),
    }

    def sample(self, row):
        encoded = {"text": f"t\u00e9{row}".encode(), "label": struct.pack("<q", -row), "score": struct.pack("<f", row / 2)}
        encoded.update(more=json.dumps([row]).encode(), raw=b"\xff" * row, n=b"%d" % 10**20)
        return encoded, {"text": f"t\u00e9{row}", "label": -row, "score": row / 2, "more": [row], "raw": b"\xff" * row, "n": 10**20}

    def test_rows_run_on_through_shards(self):
        for pack in (False, True):
            encoded, expected = zip(*(self.sample(row) for row in range(30)))
            folder = self.data / str(pack)
            folder.mkdir()
            mds(folder, [encoded[:10], encoded[10:11], [], encoded[11:]], self.COLUMNS, pack)
            for memory in (0, 600, 1 << 20):
                with self.subTest(pack=pack, memory=memory):
                    dataset = self.open(folder, memory=memory)
                    self.assertEqual(list(dataset), list(expected))
                    order = random.Random(6).sample(range(30), 30)
                    self.assertEqual(dataset.__getitems__(order), [expected[row] for row in order])
                    self.assertEqual(pickle.loads(pickle.dumps(dataset))[29], expected[29])
            self.assertEqual(self.open(folder, columns=["label", "text"])[3], {"label": -3, "text": "t\u00e93"})

    def test_what_cannot_be_read_is_named(self):
        with self.assertRaisesRegex(DatasetError, "has no index.json of MDS shards"):
            self.open(self.data, "Mds")
        mds(self.data, [[self.sample(1)[0]]], self.COLUMNS)
        with self.assertRaisesRegex(DatasetError, "column `image` is not there; the columns are text, label"):
            self.open(self.data, columns=["image"])
        dataset = self.open(self.data)
        (self.data / "shard.00000.mds").unlink()
        with self.assertRaisesRegex(DatasetError, "shard.00000.mds, which index.json names, does not exist"):
            dataset[0]
        with self.assertRaisesRegex(CurriculumError, "of Mds one folder is read"):
            self.open([self.data, self.data], "Mds")


class Images(RowsCase):
    def test_rows_are_sorted_by_class_folder_and_name(self):
        for name in ("dog/2.png", "dog/10.JPG", "cat/b/1.jpeg", "cat/a.webp", "cat/notes.txt", "\u00e9/x.bmp"):
            self.put(name, name.encode())
        (self.data / "top.png").write_bytes(b"")
        dataset = self.open(self.data, "ImageFolder")
        paths = ["cat/a.webp", "cat/b/1.jpeg", "dog/10.JPG", "dog/2.png", "\u00e9/x.bmp"]
        self.assertEqual([row["path"] for row in dataset], paths)
        self.assertEqual(dataset.classes, ["cat", "dog", "\u00e9"])
        self.assertEqual(dataset[-1], {"image": "\u00e9/x.bmp".encode(), "label": 2, "class": "\u00e9", "path": "\u00e9/x.bmp"})
        again = pickle.loads(pickle.dumps(self.open(self.data, "ImageFolder", columns=["label"])))
        self.assertEqual([row["label"] for row in again.__getitems__([4, 0, 2])], [2, 0, 1])

    def test_what_cannot_be_read_is_named(self):
        with self.assertRaisesRegex(DatasetError, "has no folder in it; an image folder has one for each class"):
            self.open(self.data, "ImageFolder")
        self.put("cat/a.txt", b"")
        with self.assertRaisesRegex(DatasetError, "class `cat` has no image"):
            self.open(self.data, "ImageFolder")
        with self.assertRaisesRegex(CurriculumError, "`columns` has `pixels`"):
            self.open(self.data, "ImageFolder", columns=["pixels"])


class Tables(RowsCase):
    def run_table(self, *arguments):
        command = [sys.executable, "-m", "curriculum_client.dataset", "table", *map(str, arguments)]
        environment = {"PYTHONPATH": str(ROOT), "TMPDIR": str(self.folder), "PATH": ""}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    def read(self, path):
        with open(path, encoding="utf-8", newline="") as file:
            return [json.loads(line) for line in file] if path.suffix == ".jsonl" else list(csv.DictReader(file))

    def test_of_webdataset(self):
        source = self.put("s.tar", shard([("a.jpg", b"xyz"), ("a.cls", b"3\n"), ("a.loss", b"0.5"), ("b\r.jpg", b"x")]))
        for name in ("rows.csv", "rows.jsonl"):
            out = self.folder / name
            done = self.run_table(source, "--out", out, "--columns", "loss")
            self.assertEqual((done.returncode, done.stdout), (0, f"{out}: 2 rows\n"), done.stderr)
            rows = [{name: value or None for name, value in row.items()} for row in self.read(out)]
            expected = [{"key": "a", "class": "3", "bytes": "8", "loss": "0.5"}, {"key": "b\r", "class": None, "bytes": "1", "loss": None}]
            self.assertEqual([{**row, "bytes": str(row["bytes"])} for row in rows], expected)
            self.assertEqual(inspected(out), (2, 0))
            self.assertEqual(len(self.open(source)), len(self.open(out)))

    def test_of_mds_and_of_images(self):
        mds(self.data, [[{"y": struct.pack("<q", row), "x": b"abc"} for row in range(3)]], {"y": ("int", 8), "x": ("bytes", None)})
        out = self.folder / "rows.csv"
        self.assertEqual(self.run_table(self.data, "--out", out, "--class", "y").returncode, 0)
        self.assertEqual(self.read(out)[2], {"key": "shard.00000.mds:2", "class": "2", "bytes": "15"})
        for name in ("images/b/1.png", "images/a/2.png"):
            self.put(name, b"png")
        self.assertEqual(self.run_table(self.data / "images", "--format", "ImageFolder", "--out", out).returncode, 0)
        self.assertEqual(self.read(out), [{"key": "a/2.png", "class": "a", "bytes": "3"}, {"key": "b/1.png", "class": "b", "bytes": "3"}])

    def test_what_cannot_be_written_is_said_and_leaves_nothing(self):
        self.put("a/1.png", b"")
        text = self.put("rows.csv", b"a\n1\n")
        for arguments, words in (
            ((self.data, "--format", "ImageFolder", "--out", "rows.txt"), "ends with neither .csv nor .jsonl"),
            ((self.data, "--format", "ImageFolder", "--out", self.folder / "x.csv", "--columns", "size"), "there are no other columns"),
            ((self.data, "--format", "ImageFolder", "--out", self.folder / "x.csv", "--columns", "key"), "column `key` would stand twice"),
            ((text, "--out", self.folder / "x.csv"), "the operator reads this data set itself"),
            ((self.data / "no.tar", "--out", self.folder / "x.csv"), "no.tar does not exist"),
        ):
            done = self.run_table(*arguments)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertRegex(done.stderr, f"^error: .*{words}")
        self.assertEqual(list(self.folder.glob("x.csv*")), [])

    def test_a_table_that_fails_in_the_middle_leaves_nothing(self):
        source = self.open(self.put("s.tar", shard([("a.jpg", b""), ("b.jpg", b"")])))
        with mock.patch.object(table, "_plain", side_effect=[1, 2, 3, OSError("disk")]), self.assertRaisesRegex(OSError, "disk"):
            table.write(source, str(self.folder / "x.csv"))
        self.assertEqual(list(self.folder.glob("x.csv*")), [])


if __name__ == "__main__":
    unittest.main()
