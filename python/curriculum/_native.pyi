"""The extension module. Use :class:`curriculum.Plan`."""

from typing import List, Optional, Tuple

class Plan:
    digest: str
    source: str
    source_message: Optional[str]
    notes: List[str]
    start_step: int
    end_step: int
    batch_size: int
    tokens: Optional[Tuple[int, int]]
    rows: int
    seed: int
    phases: List[Tuple[str, int, int, int]]
    def batch(self, step: int, rank: int, world_size: int) -> memoryview: ...
    def sequence_digest(self, start: int, end: int) -> str: ...

def open(plan: bytes, name: str, index: Optional[str], uniform: bool) -> Plan: ...
def compile(
    text: str,
    name: str,
    rows: Optional[int],
    index: Optional[str],
    seed: Optional[int],
    phase: Optional[str],
) -> Plan: ...
