"""HTTP to the sampler: one connection, retried with back-off, because a sidecar may restart at any time."""

from __future__ import annotations

import array
import http.client
import json
import os
import sys
import threading
import time
import urllib.parse
import uuid
from typing import Any, Callable, Iterator, Mapping, Optional

from .errors import CurriculumError, RequestRefused, SamplerUnavailable, SessionRefused
from .reports import Reports

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0
_REPLY_SECONDS = 60.0
_CHUNK = 1 << 20


class Sampler:
    """The sampler of the pod, and the calls that it answers.

    :param url: Base address; default: the environment's ``CURRICULUM_SAMPLER``.
    :param timeout: Seconds after which a sampler that does not answer is given up, all tries together.
    :param sleep: Waits for some seconds between two tries.
    :param clock: Seconds that pass, from any beginning.
    """

    def __init__(
        self,
        url: Optional[str] = None,
        timeout: float = 300.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        url = url or os.environ.get("CURRICULUM_SAMPLER")
        if not url:
            raise CurriculumError("no sampler: give `url`, or set CURRICULUM_SAMPLER to an address like http://127.0.0.1:7070")
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise CurriculumError(f"`{url}` is no address of a sampler; expected one like http://127.0.0.1:7070")
        self.url = url
        self._address = (parts.hostname, parts.port or 80)
        self._timeout = timeout
        self._sleep = sleep
        self._clock = clock
        self._connection: Optional[http.client.HTTPConnection] = None
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._reports = Reports(self._post_report, clock)

    def plan(self) -> dict[str, Any]:
        """Run, phase, steps, batch size, source of the rows: see ``GET /v1/plan``."""
        return json.loads(self._call("GET", "/v1/plan")[2])

    def status(self) -> dict[str, Any]:
        """Steps served, latest metrics: see ``GET /v1/status``."""
        return json.loads(self._call("GET", "/v1/status")[2])

    def open_session(
        self,
        rank: int = 0,
        world_size: int = 1,
        step: Optional[int] = None,
        run: Optional[str] = None,
        rows: Optional[int] = None,
    ) -> dict[str, Any]:
        """Says who asks, and from which step on: see ``POST /v1/sessions``. Only what a session gets counts as trained on.

        :param step: The checkpoint's step; default: the phase's first.
        :param run: The run that the checkpoint is of; needed to begin after the phase's first step.
        :param rows: Rows of the data set, compared with the plan's.
        :raises SessionRefused: when the checkpoint or the data set is not the plan's.
        """
        # The key makes it the same session when a reply is lost and the request sent again.
        opening = {"rank": rank, "world": world_size, "step": step, "run": run, "rows": rows, "key": uuid.uuid4().hex}
        body = json.dumps({name: value for name, value in opening.items() if value is not None}).encode()
        return json.loads(self._call("POST", "/v1/sessions", body)[2])

    def fetch(
        self,
        first: int,
        count: int = 1,
        rank: int = 0,
        world_size: int = 1,
        session: Optional[str] = None,
        peek: bool = False,
    ) -> tuple[int, bytes]:
        """Number of batches, at most ``count``, and their rows as little-endian unsigned 64-bit integers; ``(0, b"")`` past the phase's end.

        All have the same length: where tokens bound a batch, 2⁶⁴ − 1 stands in the slots behind its rows.

        They count as handed out to ``session``, whose rank and world they are of. Without one, or with ``peek``, this is only a look.
        """
        return self._fetch(first, count, rank, world_size, session, peek)[:2]

    def _fetch(
        self,
        first: int,
        count: int = 1,
        rank: int = 0,
        world_size: int = 1,
        session: Optional[str] = None,
        peek: bool = False,
        hold: bool = False,
    ) -> tuple[int, bytes, Optional[int]]:
        """The same, and the first step after the phase as it is now; with ``hold``, the phase's last batch is only looked at."""
        parameters: dict[str, Any] = {"from": first, "count": count}
        if session is None:
            parameters.update(rank=rank, world=world_size)
        else:
            parameters["session"] = session
            if peek:
                parameters["peek"] = "true"
            if hold:
                parameters["hold"] = "true"
        query = urllib.parse.urlencode(parameters)
        status, headers, body = self._call("GET", f"/v1/batches?{query}")
        end = headers["curriculum-end-step"]
        end = None if end is None else int(end)
        if status == 204:
            return 0, b"", end
        return int(headers["curriculum-batches"]), body, end

    def batches(self, start_step: Optional[int] = None, run: Optional[str] = None) -> Iterator[list[int]]:
        """The rows of one batch after the other, from ``start_step`` (default: the phase's first step) to the phase's end.

        For trainers that keep track of their step themselves; a :class:`BatchSampler` does it for you. ``run`` is that of the
        checkpoint: :meth:`plan` tells this one's.
        """
        from .samplers import BatchSampler  # noqa: PLC0415 - that module needs this one

        return iter(BatchSampler(start_step=start_step, run=run, client=self))

    def report(
        self,
        step: int,
        metrics: Mapping[str, float],
        groups: Optional[Mapping[int, Mapping[str, float]]] = None,
    ) -> dict[str, Any]:
        """Tells what was measured after ``step`` batches of the run, of everything and of each group; returns the sampler's decision.

        A report may be sent again: of each metric, only values of later steps count. It never ends a training and holds it up for some
        seconds at most: what cannot be reported, or whom it cannot be told, is warned about once, and training goes on. Where it makes the
        curriculum leave the phase, ``decision`` is ``advance`` or ``regress`` in place of ``continue``, and ``endStep`` is where; nothing
        need be done about it, for the batches end there.
        """
        return self._reports.send(step, metrics, groups)

    def dataset(self) -> Optional[dict[str, Any]]:
        """Files of the data set in the order of their rows, with rows and bytes: see ``GET /v1/dataset``.

        ``None`` when the sampler does not know: training without scores, or a sampler of before.
        """
        try:
            return json.loads(self._call("GET", "/v1/dataset")[2])
        except SessionRefused:
            return None

    def offsets(self, first: int, count: int) -> Optional[bytes]:
        """Where ``count`` rows from ``first`` on begin, in bytes of their own files: see ``GET /v1/offsets``.

        Little-endian unsigned 64-bit integers, at most 65,536 of them. ``None`` when the sampler does not know: Parquet, packed
        text, training without scores.
        """
        try:
            return self._call("GET", f"/v1/offsets?from={first}&count={count}")[2]
        except SessionRefused:
            return None

    def held_out(self) -> Optional[list[int]]:
        """The rows that the job's ``dataset.split`` holds out of training, ascending: for validation. ``None`` without a split."""
        try:
            reply = self._call("GET", "/v1/held-out")[2]
        except SessionRefused:
            return None
        rows = array.array("Q", reply)
        if sys.byteorder == "big":
            rows.byteswap()
        return rows.tolist()

    def _post_report(self, report: bytes, seconds: float) -> dict[str, Any]:
        return json.loads(self._call("POST", "/v1/report", report, seconds)[2])

    def close(self) -> None:
        """Closes the connection; the next call opens another one."""
        with self._lock:
            self._drop()

    def _call(self, method: str, path: str, body: Optional[bytes] = None, seconds: Optional[float] = None) -> tuple[int, Any, bytes]:
        pause, begin = _FIRST_PAUSE, self._clock()
        limit = self._timeout if seconds is None else seconds
        while True:
            try:
                status, headers, reply = self._try(method, path, body, begin + limit)
                if status < 500:
                    break
                problem: object = f"status {status}"
            except (OSError, http.client.HTTPException) as error:
                problem = repr(error)
            if self._clock() - begin < limit:
                self._sleep(min(pause, limit - (self._clock() - begin)))
            waited = self._clock() - begin
            if waited >= limit:
                raise SamplerUnavailable(f"no answer from the sampler at {self.url} for {waited:.0f} s: {problem}")
            pause = min(2 * pause, _LONGEST_PAUSE)
        if status in (404, 409):
            raise SessionRefused(_refusal(status, reply))
        if status >= 400:
            raise RequestRefused(_refusal(status, reply))
        return status, headers, reply

    def _try(self, method: str, path: str, body: Optional[bytes], end: float) -> tuple[int, Any, bytes]:
        if self._process != os.getpid():
            # After a fork, parent and child must not read each other's replies, and the lock may have been held by another thread.
            self._lock = threading.Lock()
            self._drop()
            self._process = os.getpid()
        if not self._lock.acquire(timeout=max(0.0, end - self._clock())):
            raise TimeoutError("another thread is waiting for the sampler")
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(*self._address)
            try:
                self._limit(end)
                headers = {"content-type": "application/json"} if body is not None else {}
                self._connection.request(method, path, body, headers)
                reply = self._connection.getresponse()
                chunks = []
                while chunk := reply.read(_CHUNK):
                    chunks.append(chunk)
                    self._limit(end)
                return reply.status, reply.headers, b"".join(chunks)
            except BaseException:
                # Half a reply may be left on the connection.
                self._drop()
                raise
        finally:
            self._lock.release()

    def _limit(self, end: float) -> None:
        """No single wait for the sampler goes beyond the end of all of them."""
        seconds = min(_REPLY_SECONDS, end - self._clock())
        if seconds <= 0:
            raise TimeoutError("time is up")
        assert self._connection is not None
        self._connection.timeout = seconds
        if self._connection.sock is not None:
            self._connection.sock.settimeout(seconds)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __del__(self) -> None:
        if getattr(self, "_connection", None) is not None:
            self._drop()

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_lock"], state["_reports"]
        state["_connection"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()
        self._reports = Reports(self._post_report, self._clock)


def _refusal(status: int, reply: bytes) -> str:
    try:
        return str(json.loads(reply)["error"])
    except (ValueError, KeyError, TypeError):
        return f"status {status}: {reply[:200].decode('utf-8', 'replace')}"
