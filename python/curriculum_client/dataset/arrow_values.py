"""Single values of Arrow arrays as Python's, read from the arrays' memory: for a few scattered values calls of Arrow cost more."""

from __future__ import annotations

from typing import Any, Callable, Optional

import pyarrow as pa

#: The value at a place.
Get = Callable[[int], Any]

_CODES = {
    pa.int8(): "b",
    pa.uint8(): "B",
    pa.int16(): "h",
    pa.uint16(): "H",
    pa.int32(): "i",
    pa.uint32(): "I",
    pa.int64(): "q",
    pa.uint64(): "Q",
    pa.float32(): "f",
    pa.float64(): "d",
}


def getter(values: Any) -> Get:
    """What gives the values of an array, or of one in chunks, as ``to_pylist`` would."""
    if isinstance(values, pa.ChunkedArray):
        if values.num_chunks != 1:
            return lambda at: values[at].as_py()
        values = values.chunk(0)
    if values.null_count == 0:
        found = _numbers(values) or _texts(values) or _lists(values)
        if found is not None:
            return found
    return lambda at: values[at].as_py()


def _memory(values: Any) -> Optional[memoryview]:
    """The numbers of an array."""
    code = _CODES.get(values.type)
    if code is None:
        return None
    return _view(values.buffers()[1], code, values.offset, len(values))


def _view(buffer: Any, code: Any, offset: int, count: int) -> memoryview:
    if count == 0 or buffer is None:
        return memoryview(b"").cast(code)
    view = memoryview(buffer).cast("B")
    width = memoryview(b"").cast(code).itemsize
    return view[offset * width : (offset + count) * width].cast(code)


def _numbers(values: Any) -> Optional[Get]:
    memory = _memory(values)
    return None if memory is None else memory.__getitem__


def _texts(values: Any) -> Optional[Get]:
    kind = values.type
    is_text = kind in (pa.string(), pa.large_string())
    if not is_text and kind not in (pa.binary(), pa.large_binary()):
        return None
    code = "q" if kind in (pa.large_string(), pa.large_binary()) else "i"
    _, offsets, data = values.buffers()
    ends = _view(offsets, code, values.offset, len(values) + 1)
    content = memoryview(data if data is not None else b"").cast("B")
    if is_text:
        return lambda at: str(content[ends[at] : ends[at + 1]], "utf-8")
    return lambda at: bytes(content[ends[at] : ends[at + 1]])


def _lists(values: Any) -> Optional[Get]:
    kind = values.type
    fixed = pa.types.is_fixed_size_list(kind)
    if not fixed and not pa.types.is_list(kind) and not pa.types.is_large_list(kind):
        return None
    memory = _memory(values.values) if values.values.null_count == 0 else None
    if memory is None:
        return None
    numbers = memory
    if fixed:
        width, first = kind.list_size, values.offset
        return lambda at: numbers[(first + at) * width : (first + at + 1) * width].tolist()
    ends = _view(values.buffers()[1], "q" if pa.types.is_large_list(kind) else "i", values.offset, len(values) + 1)
    return lambda at: numbers[ends[at] : ends[at + 1]].tolist()
