"""The rival of `benches/scoring` for the score index: numpy's argsort of the same scores.

The benchmark starts it with `--python`. By itself: `python benches/rivals/scoring.py FILE KIND`, where FILE holds the scores as
little-endian 64-bit floats and KIND is that of the sort: `quicksort`, which is numpy's default, or `stable`. It prints
numpy's version, and then, for each line that it reads, the seconds that one argsort took.
"""

import sys
import time

import numpy

scores = numpy.fromfile(sys.argv[1], dtype="<f8")
kind = sys.argv[2]
numpy.argsort(scores[:65536], kind=kind)  # what is loaded at the first call is not timed
print(numpy.__version__, flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    order = numpy.argsort(scores, kind=kind)
    print(time.perf_counter() - start, flush=True)
    assert order.shape == scores.shape
