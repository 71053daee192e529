"""HTTP to the sampler: one connection, retried with back-off, because a sidecar may restart at any time."""

from __future__ import annotations

import http.client
import json
import math
import os
import threading
import time
import urllib.parse
import warnings
from typing import Any, Callable, Iterator, Mapping, Optional

from .errors import CurriculumError, RequestRefused, SamplerUnavailable

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0
_REPLY_SECONDS = 60.0


class Sampler:
    """The sampler of the pod, and the calls that it answers.

    :param url: Base address; default: the environment's ``CURRICULUM_SAMPLER``.
    :param timeout: Seconds for which a sampler that does not answer is asked again.
    :param sleep: Waits for some seconds between two tries.
    """

    def __init__(
        self, url: Optional[str] = None, timeout: float = 300.0, sleep: Callable[[float], None] = time.sleep
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
        self._connection: Optional[http.client.HTTPConnection] = None
        self._process = os.getpid()
        self._lock = threading.Lock()

    def plan(self) -> dict[str, Any]:
        """Phase, steps, batch size, source of the rows: see ``GET /v1/plan``."""
        return json.loads(self._call("GET", "/v1/plan")[2])

    def status(self) -> dict[str, Any]:
        """Steps served, latest metrics: see ``GET /v1/status``."""
        return json.loads(self._call("GET", "/v1/status")[2])

    def fetch(self, first: int, count: int = 1, rank: int = 0, world_size: int = 1, peek: bool = False) -> tuple[int, bytes]:
        """Number of batches, at most ``count``, and their rows as little-endian unsigned 64-bit integers; ``(0, b"")`` past the phase's end.

        With ``peek`` they do not count as handed out.
        """
        parameters: dict[str, Any] = {"from": first, "count": count, "rank": rank, "world": world_size}
        if peek:
            parameters["peek"] = "true"
        query = urllib.parse.urlencode(parameters)
        status, headers, body = self._call("GET", f"/v1/batches?{query}")
        if status == 204:
            return 0, b""
        return int(headers["curriculum-batches"]), body

    def batches(self, start_step: Optional[int] = None) -> Iterator[list[int]]:
        """The rows of one batch after the other, from ``start_step`` (default: the phase's first step) to the phase's end.

        For trainers that keep track of their step themselves; a :class:`BatchSampler` does it for you.
        """
        from .samplers import BatchSampler  # noqa: PLC0415 - that module needs this one

        return iter(BatchSampler(start_step=start_step, client=self))

    def report(
        self,
        step: int,
        metrics: Mapping[str, float],
        groups: Optional[Mapping[int, Mapping[str, float]]] = None,
    ) -> dict[str, Any]:
        """Tells what was measured after ``step`` batches of the run, of everything and of each group; returns the sampler's decision.

        A report may be sent again: of each metric, only values of later steps count. Values that are not finite are left out with a warning,
        because a metric that diverged is no reason to stop.
        """
        report = {
            "step": int(step),
            "metrics": _finite(metrics),
            "groups": {str(int(group)): _finite(values) for group, values in (groups or {}).items()},
        }
        return json.loads(self._call("POST", "/v1/report", json.dumps(report, allow_nan=False).encode())[2])

    def close(self) -> None:
        """Closes the connection; the next call opens another one."""
        with self._lock:
            self._drop()

    def _call(self, method: str, path: str, body: Optional[bytes] = None) -> tuple[int, Any, bytes]:
        pause, waited = _FIRST_PAUSE, 0.0
        while True:
            try:
                status, headers, reply = self._try(method, path, body)
                if status < 500:
                    break
                problem: object = f"status {status}"
            except (OSError, http.client.HTTPException) as error:
                problem = repr(error)
            if waited >= self._timeout:
                raise SamplerUnavailable(f"no answer from the sampler at {self.url} for {waited:.0f} s: {problem}")
            self._sleep(pause)
            waited += pause
            pause = min(2 * pause, _LONGEST_PAUSE)
        if status >= 400:
            raise RequestRefused(_refusal(status, reply))
        return status, headers, reply

    def _try(self, method: str, path: str, body: Optional[bytes]) -> tuple[int, Any, bytes]:
        with self._lock:
            if self._process != os.getpid():
                # After a fork, parent and child must not read each other's replies.
                self._drop()
                self._process = os.getpid()
            if self._connection is None:
                self._connection = http.client.HTTPConnection(*self._address, timeout=_REPLY_SECONDS)
            try:
                headers = {"content-type": "application/json"} if body is not None else {}
                self._connection.request(method, path, body, headers)
                reply = self._connection.getresponse()
                return reply.status, reply.headers, reply.read()
            except BaseException:
                # Half a reply may be left on the connection.
                self._drop()
                raise

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __del__(self) -> None:
        if getattr(self, "_connection", None) is not None:
            self._drop()

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_lock"]
        state["_connection"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    values = {str(name): float(value) for name, value in metrics.items()}
    for name in [name for name, value in values.items() if not math.isfinite(value)]:
        warnings.warn(f"metric `{name}` is {values.pop(name)}: left out of the report", RuntimeWarning, stacklevel=4)
    return values


def _refusal(status: int, reply: bytes) -> str:
    try:
        return str(json.loads(reply)["error"])
    except (ValueError, KeyError, TypeError):
        return f"status {status}: {reply[:200].decode('utf-8', 'replace')}"
