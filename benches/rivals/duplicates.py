"""The rival of `benches/scoring` for near-duplicates: the package datasketch, with as many functions and the same bands.

The benchmark starts it with `--python`. By itself: `python benches/rivals/duplicates.py FILE THRESHOLD`, where FILE is CSV with the column
`text`. It prints datasketch's version, and then, for each line that it reads, the seconds that the work took and the number of rows that
are at least THRESHOLD similar to an earlier one. As here, a text is the set of the runs of 5 words in it, and copies are compared with the
first of them only: without that its buckets grow with each copy.
"""

import csv
import sys
import time

import datasketch

FUNCTIONS, BANDS, SHINGLE = 128, 16, 5


def shingles(text):
    words = text.lower().split()
    count = max(len(words) - SHINGLE + 1, 1)
    return {" ".join(words[at : at + SHINGLE]).encode() for at in range(count)}


def find(path, threshold):
    found = 0
    empty = datasketch.MinHash(num_perm=FUNCTIONS)
    index = datasketch.MinHashLSH(num_perm=FUNCTIONS, params=(BANDS, FUNCTIONS // BANDS))
    sketches = {}
    copies = set()
    with open(path, newline="") as file:
        for row, record in enumerate(csv.DictReader(file)):
            sketch = empty.copy()
            sketch.update_batch(shingles(record["text"]))
            whole = sketch.hashvalues.tobytes()
            if whole in copies:
                found += 1
                continue
            copies.add(whole)
            similar = max((sketch.jaccard(sketches[other]) for other in index.query(sketch)), default=0)
            found += similar >= threshold
            sketches[row] = sketch
            index.insert(row, sketch)
    return found


print(datasketch.__version__, flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    rows = find(sys.argv[1], float(sys.argv[2]))
    print(time.perf_counter() - start, rows, flush=True)
