"""Rows by number in a real PyTorch DataLoader, with the batches of a real sampler."""

import json
import os
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import torch
from rowfiles import RowsCase
from support import END, FIRST, ROWS
from torch.utils.data import DataLoader, default_collate

import curriculum_client as curriculum
from curriculum_client.pytorch import CurriculumLoader

#: How workers begin, and how many they are.
WORKERS = [(None, 0), ("fork", 1), ("fork", 2), ("spawn", 2)]

MODEL = """
import json

def encode(row):
    assert sorted(row) == ["label", "text"] and len(row["text"]) == row["label"]
    return row["label"]

def train_on(batch):
    print(json.dumps(batch.tolist()))
"""


def encode(row):
    return {"row": int(row["row"]), "length": len(row["text"]), "process": os.getpid()}


class Loader(RowsCase):
    def setUp(self):
        super().setUp()
        self.client = curriculum.Sampler(self.start().url)
        rows = [{"row": str(row), "text": "x,\n" * (row % 50)} for row in range(ROWS)]
        for part in range(5):
            self.put(f"csv/{part}.csv", ("row,text\n" + "".join(f'{r["row"]},"{r["text"]}"\n' for r in rows[part::5])).encode())
            self.put(f"json/{part}.jsonl", "".join(json.dumps(r) + "\n\n" for r in rows[part::5]).encode())
        self.order = [row for part in range(5) for row in range(part, ROWS, 5)]

    def test_batches_are_the_rows_of_the_sampler(self):
        expected = list(self.client.batches())
        for format, (start, workers) in ((format, case) for format in ("csv", "json") for case in WORKERS):
            with self.subTest(format=format, start=start, workers=workers):
                dataset = self.open(self.data / format, transform=encode)
                self.assertEqual(dataset[7]["row"], self.order[7])
                sampler = curriculum.open_sampler(dataset=dataset, client=self.client)
                loader = DataLoader(dataset, batch_sampler=sampler, num_workers=workers, multiprocessing_context=start)
                batches = list(sampler.track(loader))
                self.assertEqual([batch["row"].tolist() for batch in batches], [[self.order[row] for row in rows] for rows in expected])
                self.assertEqual(
                    [batch["length"].tolist() for batch in batches], [[self.order[row] % 50 * 3 for row in rows] for rows in expected]
                )
                processes = {int(process) for batch in batches for process in batch["process"]}
                self.assertEqual(len(processes), max(1, workers))
                self.assertEqual(os.getpid() in processes, workers == 0)

    def test_a_whole_batch_is_asked_for_at_once(self):
        asked = []
        dataset = self.open(self.data / "json")
        read = dataset._read
        dataset._read = lambda rows: asked.append(len(rows)) or read(rows)
        loader = CurriculumLoader(dataset, sampler=curriculum.open_sampler(dataset=dataset, client=self.client))
        self.assertEqual(sum(1 for _ in loader), END - FIRST)
        self.assertEqual(asked, [12] * (END - FIRST))

    def test_rows_of_text_become_tensors(self):
        loader = DataLoader(self.open(self.data / "csv", transform=lambda row: (float(row["row"]), row["text"])), batch_size=4)
        numbers, texts = next(iter(loader))
        self.assertTrue(torch.equal(numbers, torch.tensor([0.0, 5.0, 10.0, 15.0], dtype=torch.float64)))
        self.assertEqual(list(texts), ["x,\n" * row for row in (0, 5, 10, 15)])

    def test_bad_rows_may_be_left_out_by_the_collation(self):
        path = self.put("bad.jsonl", b'{"a":1}\nnull\n{"a":3}\n')
        dataset = self.open(path, bad_rows="none")
        loader = DataLoader(dataset, batch_size=3, collate_fn=lambda rows: default_collate([row for row in rows if row is not None]))
        self.assertEqual(next(iter(loader))["a"].tolist(), [1, 3])

    def test_the_program_of_the_guide_trains_on_the_rows_of_the_sampler(self):
        page = (pathlib.Path(__file__).resolve().parents[3] / "docs/trainers.md").read_text(encoding="utf-8")
        section = page.split("## Reading rows by number", 1)[1]
        work = self.folder / "work"
        work.mkdir()
        (work / "train.py").write_text(re.search(r"^```python\n(.*?)^```", section, re.M | re.S).group(1))
        (work / "model.py").write_text(MODEL)
        data = "".join(json.dumps({"text": "x" * row, "label": row, "more": None}) + "\n" for row in range(ROWS))
        sampler = self.start()
        environment = {
            **os.environ,
            "CURRICULUM_DATASET": str(self.put("rows.jsonl", data.encode())),
            "CURRICULUM_FORMAT": "JsonLines",
            "CURRICULUM_SAMPLER": sampler.url,
            "PYTHONPATH": str(pathlib.Path(__file__).resolve().parents[2]),
            "PYTHONWARNINGS": "ignore",
            "TMPDIR": str(self.folder),
        }
        done = subprocess.run([sys.executable, "train.py"], cwd=work, env=environment, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        trained = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(trained, list(self.client.batches()))
        self.assertEqual(sampler.result()["servedStep"], END)


if __name__ == "__main__":
    unittest.main()
