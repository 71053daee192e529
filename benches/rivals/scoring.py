"""The rival of `benches/scoring` for the score index: numpy's argsort of the same scores.

The benchmark starts it with `--python`. By itself: `python benches/rivals/scoring.py FILE`, where FILE holds the scores as little-endian
64-bit floats. It prints numpy's version, and then, for each line that it reads, the seconds that one argsort took.
"""

import sys
import time

import numpy

scores = numpy.fromfile(sys.argv[1], dtype="<f8")
numpy.argsort(scores[:65536])  # what is loaded at the first call is not timed
print(numpy.__version__, flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    order = numpy.argsort(scores)
    print(time.perf_counter() - start, flush=True)
    assert order.shape == scores.shape
