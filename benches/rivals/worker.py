"""One contender in a process of its own: answers one request per line of standard input with one line of JSON.

The requests are those of ``draws.rs``; ``curriculum`` and ``index`` of ``prepare`` mean nothing here. A request that fails is answered
with ``{"error": …}``: what a rival cannot do is a result too. Times are processor time of the process.
"""

import json
import os
import sys
import time
from typing import Any, Callable

# Whatever a contender prints goes to standard error. Import this module before one that may print.
_replies = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


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
    """Answers until standard input ends."""
    contender = make()
    for line in sys.stdin:
        try:
            reply = _answer(contender, json.loads(line))
        except Exception as error:  # noqa: BLE001 - told to whoever asks
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=_replies, flush=True)


def _answer(contender: Contender, request: dict[str, Any]) -> dict[str, Any]:
    if "prepare" in request:
        begin = time.process_time()
        contender.prepare(request["prepare"]["rows"])
        return {"seconds": time.process_time() - begin}
    if "draw" in request:
        begin = time.process_time()
        rows = contender.draw(request["draw"]["batches"])
        return {"seconds": time.process_time() - begin, "rows": rows}
    what = request["spread"]
    return {"counts": contender.spread(what["batches"], what["parts"])}
