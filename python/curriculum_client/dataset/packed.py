"""Files that were packed as a whole: told by their first bytes, whatever their names, and unpacked once where that is asked for."""

from __future__ import annotations

import gzip
import zlib
from typing import Any, BinaryIO, Callable, Iterator, Optional

from ..errors import CurriculumError, DatasetError
from .cache import Cache, name_of

_PIECE = 1 << 20
#: What frames of Zstandard may remember, as the operator allows: 2 GiB.
_ZSTD_WINDOW = 1 << 31
_ELSE = "unpack it, or pack it with gzip or Zstandard"
#: First bytes of files that are taken for text by mistake → what they are, and what to do.
_OTHERS = {
    b"BZh91AY&SY": f"it is packed with bzip2; {_ELSE}",
    b"\xfd7zXZ\0": f"it is packed with xz; {_ELSE}",
    b"PK\x03\x04": "it is a zip archive; unpack it",
    b"\x04\x22\x4d\x18": f"it is packed with lz4; {_ELSE}",
    b"\xff\x06\0\0sNaPpY": f"it is packed with snappy; {_ELSE}",
    b"PAR1": 'it is a Parquet file; give format="Parquet"',
    b"ARROW1": "it is an Arrow file; write it as Parquet",
    b"\xff\xfe\0\0": "its text is UTF-32; write it as UTF-8",
    b"\xff\xfe": "its text is UTF-16; write it as UTF-8",
    b"\xfe\xff": "its text is UTF-16; write it as UTF-8",
}


def packing(path: str) -> Optional[str]:
    """``gzip``, ``Zstandard``, or ``None`` for plain text.

    :raises DatasetError: when it is neither, or cannot be read.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(16)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
    if start.startswith(b"\x1f\x8b"):
        return "gzip"
    # Parallel compressors write a frame to be skipped before the first one.
    if start.startswith(b"\x28\xb5\x2f\xfd") or (0x50 <= start[:1][0] <= 0x5F and start[1:4] == b"\x2a\x4d\x18" if start else False):
        return "Zstandard"
    for magic, what in _OTHERS.items():
        if start.startswith(magic):
            raise DatasetError(f"{path} cannot be read as text: {what}")
    return None


def unpacked(paths: list[str], room: int, cache: Cache) -> list[str]:
    """The files, with copies in the cache in the place of packed ones.

    :param room: Bytes that the copies may take, all together.
    :raises DatasetError: when they need more.
    """
    plain, left = [], room
    for path in paths:
        packed = packing(path)
        if packed is None:
            plain.append(path)
            continue
        if room == 0:
            raise DatasetError(
                f"{path} is packed with {packed}, so that no row can be read without all those before it: unpack the file, write Parquet, "
                "or give `unpack`, the bytes that unpacked copies in the temporary folder may take"
            )
        copy = cache.file(name_of("unpacked", [path], left), _writer(path, packed, left))
        if copy is None:
            raise DatasetError(f"{path} is packed with {packed}, and no unpacked copy can be kept in {cache.folder}; unpack the file")
        with open(copy, "rb") as file:
            left -= file.seek(0, 2)
        plain.append(copy)
    return plain


def _writer(path: str, packed: str, room: int) -> Callable[[BinaryIO], None]:
    def write(out: BinaryIO) -> None:
        damage: tuple[type[BaseException], ...] = (EOFError, zlib.error, gzip.BadGzipFile)
        pieces = _gzip_pieces(path)
        if packed != "gzip":
            zstandard = zstandard_module(path)
            damage, pieces = (EOFError, zstandard.ZstdError), _zstandard_pieces(path, zstandard)
        try:
            for piece in pieces:
                out.write(piece)
                if out.tell() > room:
                    raise DatasetError(f"the unpacked copies take more than `unpack` allows, of which {room} bytes were left for {path}")
        except damage as error:
            raise DatasetError(f"{path}: its {packed} data are damaged or cut off: {error}") from error

    return write


def _gzip_pieces(path: str) -> Iterator[bytes]:
    with gzip.open(path) as text:
        while piece := text.read(_PIECE):
            yield piece


def _zstandard_pieces(path: str, zstandard: Any) -> Iterator[bytes]:
    """Frame by frame: only the end of a frame tells that nothing is missing."""
    unpacker, inside = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW), False
    frame = unpacker.decompressobj()
    with open(path, "rb") as file:
        while data := file.read(_PIECE // 16):
            while data:
                yield frame.decompress(data)
                inside = not frame.eof
                data = b"" if inside else frame.unused_data
                if not inside:
                    frame = unpacker.decompressobj()
    if inside:
        raise EOFError("the last frame has no end")


def zstandard_module(path: str) -> Any:
    """The package ``zstandard``.

    :raises CurriculumError: when it is not there.
    """
    try:
        import zstandard  # noqa: PLC0415 - only who has such files needs it
    except ImportError as error:
        raise CurriculumError(f"{path} is packed with Zstandard, which Python reads with a package: pip install zstandard") from error
    return zstandard
