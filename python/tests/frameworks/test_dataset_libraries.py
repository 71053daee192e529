"""Shards and folders by number, beside the libraries that write and read them: webdataset, MosaicML Streaming, torchvision."""

import importlib.util
import json
import pathlib
import random
import struct
import sys
import types
import unittest
import warnings
from decimal import Decimal

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import numpy
import torchvision.datasets.folder
import webdataset
from rowfiles import RowsCase
from torch.utils.data import DataLoader

# `streaming` itself imports the clients of several object stores; its format needs none of them.
root = importlib.util.find_spec("streaming").submodule_search_locations[0]
for name, folder in (
    ("streaming", root),
    ("streaming.base", f"{root}/base"),
    ("streaming.base.format", f"{root}/base/format"),
    ("streaming.base.format.mds", f"{root}/base/format/mds"),
):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]

from streaming.base.format.mds.reader import MDSReader  # noqa: E402
from streaming.base.format.mds.writer import MDSWriter  # noqa: E402


class WebDataset(RowsCase):
    def test_rows_are_the_samples_of_the_library(self):
        generator = random.Random(11)
        with webdataset.ShardWriter(str(self.data / "s-%03d.tar"), maxcount=13, verbose=0) as writer:
            for row in range(40):
                sample = {"__key__": f"d{row % 3}/{'k' * (row * 5)}{row}", "cls": row % 7, "json": {"row": row}}
                if row % 4:
                    sample["jpg"] = generator.randbytes(row * 100)
                writer.write(sample)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            samples = list(webdataset.WebDataset(str(self.data / "s-{000..003}.tar"), shardshuffle=False))
        own = ("__url__", "__local_path__")
        library = [{name: value for name, value in sample.items() if name not in own} for sample in samples]
        dataset = self.open(self.data / "s-{000..003}.tar")
        self.assertEqual(list(dataset), library)
        order = generator.sample(range(40), 40)
        loader = DataLoader(dataset, batch_sampler=[order], num_workers=1, collate_fn=list)
        self.assertEqual(list(loader), [[library[row] for row in order]])
        self.assertEqual([json.loads(row["json"])["row"] for row in library], list(range(40)))


class Mds(RowsCase):
    COLUMNS = {
        "text": "str",
        "raw": "bytes",
        "int": "int",
        "u8": "uint8",
        "i32": "int32",
        "u64": "uint64",
        "f16": "float16",
        "f32": "float32",
        "f64": "float64",
        "big": "str_int",
        "price": "str_decimal",
        "more": "json",
        "free": "ndarray",
        "typed": "ndarray:int16",
        "fixed": "ndarray:float32:2,3",
    }

    def sample(self, row):
        types = {
            "u8": numpy.uint8,
            "i32": numpy.int32,
            "u64": numpy.uint64,
            "f16": numpy.float16,
            "f32": numpy.float32,
            "f64": numpy.float64,
        }
        values = {"text": "\u00e9" * row, "raw": b"\xff" * row, "int": -row, "big": 10**30 + row, "price": Decimal(row) / 100}
        values.update(more={"row": [row]}, free=numpy.arange(row * 2 + 2, dtype=numpy.float64).reshape(2, -1))
        values.update(typed=numpy.full((1, 300, 1), row, numpy.int16), fixed=numpy.full((2, 3), row, numpy.float32))
        return {**values, **{name: make(row) for name, make in types.items()}}

    def test_rows_are_what_the_library_wrote(self):
        for compression in (None, "zstd", "zstd:19", "gz", "bz2"):
            folder = self.data / str(compression)
            with MDSWriter(out=str(folder), columns=self.COLUMNS, compression=compression, size_limit=8000, exist_ok=True) as writer:
                for row in range(30):
                    writer.write(self.sample(row))
            dataset = self.open(folder)
            self.assertGreater(len(dataset._about), 3)
            order = random.Random(12).sample(range(30), 30)
            with self.subTest(compression=compression):
                for row, found in zip(order, dataset.__getitems__(order)):
                    for name, value in self.sample(row).items():
                        numpy.testing.assert_array_equal(found[name], value, f"{row} {name}")
                        self.assertTrue(isinstance(found[name], (numpy.ndarray, type(value), int, float)), name)
                found["free"][0] = 1

    def test_shards_of_the_tests_are_those_that_the_library_reads(self):
        from test_dataset_shards import mds

        mds(self.data, [[{"y": struct.pack("<q", row), "x": b"abc"} for row in range(3)]], {"y": ("int", 8), "x": ("bytes", None)})
        about = json.loads((self.data / "index.json").read_text())["shards"][0]
        reader = MDSReader.from_json(str(self.data), "", about)
        self.assertEqual([reader.decode_sample(reader.get_sample_data(row)) for row in range(3)], list(self.open(self.data)))


class Images(RowsCase):
    def test_rows_are_those_of_image_folder(self):
        generator = random.Random(13)
        for _ in range(60):
            parts = generator.choices(("a", "B", "b-1", "10", "9", "\u00e9", "a.d"), k=generator.randrange(1, 3))
            self.put("/".join([*parts, generator.choice("xyzXY9") + generator.choice((".png", ".JPEG", ".txt", ".webp"))]), b"")
        for folder in self.data.iterdir():
            self.put(f"{folder.name}/some.png", folder.name.encode())
        classes, labels = torchvision.datasets.folder.find_classes(self.data)
        made = torchvision.datasets.folder.make_dataset(self.data, labels, torchvision.datasets.folder.IMG_EXTENSIONS)
        dataset = self.open(self.data, "ImageFolder")
        self.assertEqual([(str(self.data / row["path"]), row["label"]) for row in dataset], made)
        self.assertEqual(dataset.classes, classes)


if __name__ == "__main__":
    unittest.main()
