"""Random batches of 256 rows of a million, by number: curriculum_client.dataset beside what people read rows with. `make bench-rows`.

Each contender has a process of its own; a repetition of each follows that of the one before, with the same rows, and ratios are medians
of such pairs. Times are processor time of the process, all its threads together. Prints two tables in Markdown. Needs pyarrow.
"""

import argparse
import json
import linecache
import multiprocessing
import os
import pathlib
import random
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq

from curriculum_client import dataset

ROWS, FILES, GROUP, BATCH = 1_000_000, 8, 16_384, 256
MIB = 1 << 20
WORDS = [f"word{number}" for number in range(5000)]


def make(folder):
    """The same rows as Parquet and as JSON Lines."""
    generator = random.Random(1)
    each = ROWS // FILES
    for name in ("parquet", "jsonl"):
        (folder / name).mkdir()
    for number in range(FILES):
        rows = range(number * each, (number + 1) * each)
        columns = {
            "row": list(rows),
            "label": [generator.randrange(10) for _ in rows],
            "loss": [generator.random() for _ in rows],
            "text": [" ".join(generator.choices(WORDS, k=16)) for _ in rows],
        }
        table = pa.table(columns)
        pq.write_table(table, folder / "parquet" / f"{number}.parquet", row_group_size=GROUP)
        with open(folder / "jsonl" / f"{number}.jsonl", "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in table.to_pylist())
        with pa.OSFile(str(folder / f"{number}.arrow"), "wb") as out, pa.ipc.new_file(out, table.schema) as writer:
            writer.write_table(table, max_chunksize=GROUP)


def parquet_files(folder):
    return sorted((folder / "parquet").iterdir())


def ours(kind, **options):
    def prepare(folder):
        return dataset.open(folder / kind, cache=folder / "cache", **options).__getitems__

    return prepare


def whole_table(folder):
    """All of it in memory, in one piece: nothing is faster, where there is the memory."""
    table = pa.concat_tables([pq.read_table(path) for path in parquet_files(folder)]).combine_chunks()
    return lambda rows: table.take(pa.array(rows)).to_pylist()


def dataset_take(folder):
    files = pa.dataset.dataset(folder / "parquet")
    return lambda rows: files.take(pa.array(rows)).to_pylist()


def mapped_arrow(folder):
    tables = [pa.ipc.open_file(pa.memory_map(str(folder / f"{number}.arrow"))).read_all() for number in range(FILES)]
    table = pa.concat_tables(tables)
    return lambda rows: table.take(pa.array(rows)).to_pylist()


def row_groups(folder):
    """Reads the row groups that a batch needs, and takes its rows of them."""
    files = [pq.ParquetFile(path) for path in parquet_files(folder)]
    each = ROWS // FILES

    def read(rows):
        wanted = {}
        for place, row in enumerate(rows):
            wanted.setdefault((row // each, row % each // GROUP), []).append((row % each % GROUP, place))
        found = [None] * len(rows)
        for (file, group), places in wanted.items():
            table = files[file].read_row_group(group)
            for (_, place), row in zip(places, table.take(pa.array([inside for inside, _ in places])).to_pylist()):
                found[place] = row
        return found

    return read


def json_files(folder):
    return [str(path) for path in sorted((folder / "jsonl").iterdir())]


def with_linecache(folder):
    """The standard library's lines by number: whole files in memory."""
    files, each = json_files(folder), ROWS // FILES
    return lambda rows: [json.loads(linecache.getline(files[row // each], row % each + 1)) for row in rows]


def offsets_and_seek(folder):
    """What a trainer would write: a list of offsets, then seek and readline."""
    files, places = [open(path, "rb") for path in json_files(folder)], []
    for number, file in enumerate(files):
        at = 0
        for line in file:
            places.append((number, at))
            at += len(line)

    def read(rows):
        found = []
        for row in rows:
            number, at = places[row]
            files[number].seek(at)
            found.append(json.loads(files[number].readline()))
        return found

    return read


#: Name → how it is prepared, batches of a repetition. The first of each table is what the others are compared with.
TABLES = {
    "Parquet": {
        "ours": (ours("parquet", format="Parquet"), 40),
        "ours, `memory` 32 MiB, `unpack`": (ours("parquet", format="Parquet", memory=32 * MIB, unpack=1024 * MIB), 40),
        "ours, `memory` 32 MiB": (ours("parquet", format="Parquet", memory=32 * MIB), 1),
        "the whole table in memory, `take`": (whole_table, 40),
        "Arrow files, mapped, `take`": (mapped_arrow, 10),
        "`read_row_group`, `take`": (row_groups, 1),
        "`pyarrow.dataset`, `take`": (dataset_take, 1),
    },
    "JSON Lines": {
        "ours": (ours("jsonl", format="JsonLines"), 40),
        "`linecache`": (with_linecache, 40),
        "list of offsets, `seek`, `readline`": (offsets_and_seek, 40),
    },
}


def contender(table, name, folder, pipe):
    """Answers (seed) with seconds per batch and a sum that shows that the rows were read."""
    prepare, batches = TABLES[table][name]
    begin = time.process_time()
    read = prepare(folder)
    read(list(range(BATCH)))
    pipe.send(time.process_time() - begin)
    while (seed := pipe.recv()) is not None:
        generator = random.Random(seed)
        asked = [generator.sample(range(ROWS), BATCH) for _ in range(batches)]
        begin = time.process_time()
        found = [read(rows) for rows in asked]
        seconds = (time.process_time() - begin) / batches
        assert all([row["row"] for row in batch] == rows for batch, rows in zip(found, asked))
        pipe.send(seconds)
    with open("/proc/self/status", encoding="ascii") as status:
        pipe.send(next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024)


def measure(table, folder, repetitions):
    """Per contender: seconds until the first batch, seconds of a batch in each repetition, MiB of its own memory."""
    context = multiprocessing.get_context("spawn")
    running = {}
    for name in TABLES[table]:
        mine, theirs = context.Pipe()
        process = context.Process(target=contender, args=(table, name, folder, theirs))
        process.start()
        # One after the other: nobody waits for a processor that another one has.
        running[name] = (process, mine, mine.recv(), [])
    for seed in range(-2, repetitions):
        for _, pipe, _, seconds in running.values():
            pipe.send(seed)
            seconds.append(pipe.recv())
    results = {}
    for name, (process, pipe, first, seconds) in running.items():
        pipe.send(None)
        results[name] = (first, seconds[2:], pipe.recv())
        process.join()
    return results


def show(table, results):
    base = next(iter(results.values()))[1]
    lines = [f"| {table} | a batch | ratio | first rows | memory |", "|---|---:|---:|---:|---:|"]
    for name, (first, seconds, memory) in results.items():
        ratio = statistics.median(theirs / mine for theirs, mine in zip(seconds, base))
        shown = f"{ratio:.1f}×" if ratio < 10 else f"{ratio:.0f}×"
        lines.append(f"| {name} | {statistics.median(seconds) * 1e3:.1f} ms | {shown} | {first:.1f} s | {memory:.0f} MiB |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=7)
    repetitions = parser.parse_args().repetitions
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        make(path)
        for table in TABLES:
            print(show(table, measure(table, path, repetitions)) + "\n", flush=True)


if __name__ == "__main__":
    # Of old builds of OpenBLAS; nothing here multiplies matrices, but more threads than processors would be started.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
