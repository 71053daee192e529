"""Files of rows for tests: what the operator counts in them, and what a byte-by-byte reader of CSV finds."""

import json
import os
import pathlib
import subprocess

from support import SamplerCase, binary

KEY = "a" * 64


class RowsCase(SamplerCase):
    """A test with a folder of data and a cache of its own."""

    def setUp(self):
        super().setUp()
        self.data = self.folder / "data"
        self.data.mkdir()
        # Where `tempfile` puts things was decided when it was first asked.
        self.cache = self.folder / "cache"

    def put(self, name, content):
        path = self.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def open(self, path, *arguments, **options):
        from curriculum_client import dataset

        return dataset.open(path, *arguments, cache=self.cache, **options)


def inspect(root, format, paths, store):
    """What the operator's own inspection tells of files below a folder; what it found stands in the store."""
    task = {
        **({"paths": paths} if isinstance(paths, list) else {"path": paths}),
        "format": format,
        "maxBadRows": 1 << 32,
        "datasetKey": "0" * 64,
        "key": KEY,
        "seed": 1,
        "shards": 1,
        "scorers": [{"name": "program", "weight": "1", "kind": "container"}],
        "combine": "MeanRank",
        "minCoverage": "0.1",
    }
    store.mkdir(exist_ok=True)
    file, report = store / "task.json", store / "report.json"
    file.write_text(json.dumps(task))
    report.write_text("")
    command = [binary(), "inspect", "--task", file, "--dataset-root", root, "--store-root", store]
    environment = {**os.environ, "CURRICULUM_LOG": "error"}
    subprocess.run([*command, "--termination-log", report], env=environment, stderr=subprocess.DEVNULL, check=False)
    return json.loads(report.read_text())


def inspected(path):
    """Rows and bad rows of a file by the operator's own inspection, or the words that it refuses the file with."""
    path = pathlib.Path(path)
    told = inspect(path.parent, "JsonLines" if path.suffix == ".jsonl" else "Csv", path.name, path.parent / ".store")
    if "error" in told:
        words = told["error"]["message"]
        return (0, 0) if words.endswith("has no rows; at least one is needed") else words
    return told["inspected"]["rows"], told["inspected"].get("badRows", 0)


def records(data, delimiter=b","):
    """Offset and fields of each record of CSV, byte by byte; ``None`` in place of a last record whose quote is never closed."""
    found, fields, field, state, start = [], [], b"", "record", 0
    begin = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    for at in range(begin, len(data)):
        byte = data[at : at + 1]
        if state == "record":
            if byte in b"\r\n":
                continue
            start, fields, field, state = at, [], b"", "field"
        if state == "quoted":
            if byte == b'"':
                state = "quote"
            else:
                field += byte
        elif state == "field" and byte == b'"':
            state = "quoted"
        elif state == "quote" and byte == b'"':
            field += byte
            state = "quoted"
        elif byte == delimiter:
            fields.append(field)
            field, state = b"", "field"
        elif byte in b"\r\n":
            found.append((start, [*fields, field]))
            state = "record"
        else:
            field += byte
            state = "inside"
    if state == "quoted":
        return [*found, None]
    return found if state == "record" else [*found, (start, [*fields, field])]
