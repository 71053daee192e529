"""What a training measured, on its way to the sampler: it arrives or is warned about, and never ends the training."""

from __future__ import annotations

import json
import math
import re
import warnings
from typing import Any, Callable, Mapping, Optional

from .errors import CurriculumError, SamplerUnavailable

#: Seconds that one report may take, all tries together.
REPORT_SECONDS = 5.0
#: Seconds for which nothing is reported after a report that did not arrive.
PAUSE_SECONDS = 60.0
#: Different metrics of a phase.
MAX_METRICS = 32
#: Groups that can be named: 0 to 255.
MAX_GROUPS = 256
_NAME = re.compile(r'[!#-\[\]-~]{1,64}')
_GO_ON = {"decision": "continue"}


class Reports:
    """Cleans and sends reports.

    :param post: Sends the body of a report within some seconds, and returns the reply.
    :param clock: Seconds that pass.
    """

    def __init__(self, post: Callable[[bytes, float], dict[str, Any]], clock: Callable[[], float]) -> None:
        self._post = post
        self._clock = clock
        self._names: set[str] = set()
        self._warned: set[str] = set()
        self._silent_until = -math.inf

    def send(self, step: int, metrics: Mapping[str, float], groups: Optional[Mapping[int, Mapping[str, float]]]) -> dict[str, Any]:
        """Sends what can be sent; the sampler's reply, or ``{"decision": "continue"}`` when there is none."""
        try:
            report = {"step": int(step), "metrics": self._clean(metrics), "groups": self._groups(groups or {})}
            body = json.dumps(report, allow_nan=False).encode()
        except Exception as error:  # noqa: BLE001 - whatever a caller hands over, the training goes on
            self._warn("report", f"this report cannot be sent: {error!r}")
            return dict(_GO_ON)
        if self._clock() < self._silent_until:
            return dict(_GO_ON)
        try:
            return self._post(body, REPORT_SECONDS)
        except CurriculumError as error:
            self._warn(type(error).__name__, f"the sampler did not take a report: {error}")
            if isinstance(error, SamplerUnavailable):
                # Each further report would hold up the training again.
                self._silent_until = self._clock() + PAUSE_SECONDS
        except Exception as error:  # noqa: BLE001 - such as a reply that is no JSON
            self._warn(type(error).__name__, f"a report failed: {error!r}")
        return dict(_GO_ON)

    def _groups(self, groups: Mapping[int, Mapping[str, float]]) -> dict[str, dict[str, float]]:
        kept = {}
        for group, values in groups.items():
            try:
                number = int(group)
            except (TypeError, ValueError):
                number = -1
            if 0 <= number < MAX_GROUPS:
                kept[str(number)] = self._clean(values)
            else:
                self._warn("group", f"group {group!r} is left out of the report: expected the number of a group, from 0 to {MAX_GROUPS - 1}")
        return kept

    def _clean(self, metrics: Mapping[str, float]) -> dict[str, float]:
        kept = {}
        for name, value in metrics.items():
            name = str(name)
            if not _NAME.fullmatch(name):
                self._warn(
                    "name", f"metric {name[:80]!r} is left out of the report: expected a name of 1 to 64 visible ASCII characters without blanks"
                )
                continue
            try:
                number = float(value)
            except (TypeError, ValueError, OverflowError):
                self._warn("number", f"metric `{name}` is left out of the report: {type(value).__name__} is no number")
                continue
            if not math.isfinite(number):
                self._warn("finite", f"metric `{name}` is {number}: left out of the report")
                continue
            if name not in self._names and len(self._names) >= MAX_METRICS:
                self._warn("many", f"metric `{name}` is left out of the report: a phase has at most {MAX_METRICS} different ones")
                continue
            self._names.add(name)
            kept[name] = number
        return kept

    def _warn(self, kind: str, message: str) -> None:
        """Once for each kind of trouble."""
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(f"{message} (further warnings of this kind are not shown)", RuntimeWarning, stacklevel=5)
