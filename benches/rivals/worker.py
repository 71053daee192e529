"""One contender in a process of its own: answers one request per line of standard input with one line of JSON.

The requests are those of ``draws.rs``; ``curriculum`` and ``index`` of ``prepare`` mean nothing here. A request that fails is answered
with ``{"error": …}``: what a rival cannot do is a result too.
"""

import json
import sys
import time
from typing import Any, Callable


class Contender:
    """What is measured. Every method but :meth:`batch` is called outside of the clock or once."""

    def prepare(self, rows: int) -> None:
        """Everything that has to be there before the first batch; timed on its own."""
        raise NotImplementedError

    def draw(self, batches: int) -> int:
        """Makes that many batches of 1,024 rows and returns the number of rows; timed."""
        raise NotImplementedError

    def spread(self, batches: int, parts: int) -> list[int]:
        """How many rows of some batches fall to each of equal parts of the data set."""
        raise NotImplementedError


def serve(make: Callable[[], Contender]) -> None:
    """Answers until standard input ends. Whatever the contender prints goes to standard error."""
    replies, sys.stdout = sys.stdout, sys.stderr
    contender = make()
    for line in sys.stdin:
        try:
            reply = _answer(contender, json.loads(line))
        except Exception as error:  # noqa: BLE001 - told to whoever asks
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies, flush=True)


def _answer(contender: Contender, request: dict[str, Any]) -> dict[str, Any]:
    if "prepare" in request:
        begin = time.perf_counter()
        contender.prepare(request["prepare"]["rows"])
        return {"seconds": time.perf_counter() - begin}
    if "draw" in request:
        begin = time.perf_counter()
        rows = contender.draw(request["draw"]["batches"])
        return {"seconds": time.perf_counter() - begin, "rows": rows}
    what = request["spread"]
    return {"counts": contender.spread(what["batches"], what["parts"])}
