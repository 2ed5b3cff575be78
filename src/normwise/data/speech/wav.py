"""Recordings in WAV files."""

import math
import struct
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from normwise.data.files.user_file import read_user_file
from normwise.data.speech.speech_features import MOST_SAMPLES
from normwise.errors import DataError

_REMEDY = "replace or remove it"
_LARGEST = 2**30
_RATES = range(1_000, 768_001)
_MOST_CHUNKS = 10_000
_UNKNOWN = 2**32 - 1
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_KINDS = {_PCM: "PCM", _FLOAT: "floats"}
#: Bytes of a sample, in each of the formats.
_WIDTHS = {_PCM: (1, 2, 3, 4, 8), _FLOAT: (4, 8)}
#: The rest of the identifier of a format behind its number, in a file of each order of bytes.
_IDENTIFIER_END = {
    "little": b"\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71",
    "big": b"\0\0\0\x10\x80\0\0\xaa\0\x38\x9b\x71",
}
#: The largest sample that is taken: 32-bit integers that were only made floats. Energies of far larger ones overflow.
_LOUDEST = 2.0**31
_PIECE = 2**20

_Order = Literal["little", "big"]


class _Format(NamedTuple):
    """The format of the samples, as the header gives it."""

    kind: int
    channels: int
    rate: int
    width: int  # bytes of one sample


def read_wav(path: str | Path) -> tuple[Tensor, int]:
    """Return the wave in a file, float32 (T,) in [-1, 1], and its samples a second.

    PCM of 8, 16, 24, 32 or 64 bit, or floats of 32 or 64; of several channels the mean is taken. A file that was
    written into a pipe does not know its size: it is read to its end.

    Raises:
        DataError: the file can't be read, is no such WAV file, is cut short, contradicts itself, has no samples, more
            than 2**28, fewer than 1,000 a second or more than 768,000, or samples that are not finite or above 2**31.
    """
    return parse_wav(read_user_file(path, _LARGEST), path)


def parse_wav(content: bytes, path: str | Path) -> tuple[Tensor, int]:
    """As :func:`read_wav`, of the bytes of a file; ``path`` is for the error only."""
    try:
        if not content:
            raise _Fault("is empty")
        if content[:4] not in (b"RIFF", b"RIFX", b"RF64") or content[8:12] != b"WAVE":
            raise _Fault(f"is not a WAV file: it starts with {content[:4]!r}")
        order: _Order = "big" if content.startswith(b"RIFX") else "little"
        form, samples = _found(content, order)
        return _wave(samples, form, order), form.rate
    except _Fault as fault:
        raise DataError(f"{path}: {fault}; {_REMEDY}") from None


class _Fault(Exception):
    """An error in the content, without the name of the file."""


def _found(content: bytes, order: _Order) -> tuple[_Format, memoryview]:
    """Return what the header says, and the bytes of the samples."""
    form: _Format | None = None
    long_size: int | None = None
    start = 12
    for _ in range(_MOST_CHUNKS):
        if start + 8 > len(content):
            raise _Fault("has no samples" if form else "cannot be read as a WAV file (it has no format)")
        name, size = content[start : start + 4], int.from_bytes(content[start + 4 : start + 8], order)
        start += 8
        if name == b"data":
            if form is None:
                raise _Fault("cannot be read as a WAV file (the samples come before their format)")
            if long_size is not None and size == _UNKNOWN:
                size = long_size
            return form, _samples(content, start, size, form, order)
        body = content[start : start + min(size, 64)]
        if name == b"fmt " and form is None:
            form = _format(body, order)
        elif name == b"ds64" and content.startswith(b"RF64") and len(body) >= 16:
            long_size = int.from_bytes(body[8:16], order)
        start += size + size % 2
    raise _Fault(f"cannot be read as a WAV file (it has more than {_MOST_CHUNKS:,} parts)")


def _format(body: bytes, order: _Order) -> _Format:
    if len(body) < 16:
        raise _Fault("cannot be read as a WAV file (its format is cut short)")
    mark = "<" if order == "little" else ">"
    kind, channels, rate, speed, block, bits = struct.unpack(f"{mark}HHIIHH", body[:16])
    if kind == _EXTENSIBLE:
        if len(body) < 40 or body[28:40] != _IDENTIFIER_END[order]:
            raise _Fault("cannot be read as a WAV file (its extended format is unknown)")
        kind = int.from_bytes(body[24:28], order)
    if kind not in _WIDTHS:
        raise _Fault(
            f"cannot be read as a WAV file (its samples are of format {kind:#x}, expected PCM or floats: "
            "save it as 16-bit PCM)"
        )
    width = -(-bits // 8)
    # Fewer bits than their bytes have are the upper ones.
    if (
        not channels
        or width not in _WIDTHS[kind]
        or block != channels * width
        or (kind == _FLOAT and bits % 8)
        or (kind == _PCM and speed != rate * block % 2**32)
    ):
        raise _Fault(
            f"cannot be read as a WAV file (its header contradicts itself, or is of no usual kind: {_KINDS[kind]} of "
            f"{bits} bits, {channels} channels, {block} bytes for a sample of all, {rate} samples and {speed} bytes a "
            "second)"
        )
    if rate not in _RATES:
        raise _Fault(f"promises {rate:,} samples a second, expected {_RATES[0]:,} to {_RATES[-1]:,}")
    return _Format(kind, channels, rate, width)


def _samples(content: bytes, start: int, size: int, form: _Format, order: _Order) -> memoryview:
    """Return the bytes of the samples, which the header says are ``size``."""
    got, block = len(content) - start, form.width * form.channels
    whole = int.from_bytes(content[4:8], order)
    if (size > got and _is_unknown(size)) or (size == 0 and whole != len(content) - 8):
        # From a pipe, or a writer that was broken off: to the end, of which the last sample may be a part.
        size = got - got % block
    if size > got:
        raise _Fault(f"is cut short: the header promises {size} bytes of samples, got {got}")
    if size % block:
        raise _Fault(f"has {size} bytes of samples, expected a multiple of {block}, those of one sample")
    count = size // block
    if count == 0:
        raise _Fault("has no samples")
    if count > MOST_SAMPLES:
        raise _Fault(
            f"has {count:,} samples, expected {MOST_SAMPLES:,} at most: cut it into shorter recordings"
        )
    return memoryview(content)[start : start + size]


def _is_unknown(size: int) -> bool:
    """Return whether it is what is written for a size that isn't known: the largest of 31 or 32 bits, or a bit less."""
    return any(largest - 2**16 <= size <= largest for largest in (2**31, 2**32 - 1, 2**64 - 1))


def _wave(samples: memoryview, form: _Format, order: _Order) -> Tensor:
    """Return the mean of the channels, float32 in [-1, 1); made a piece at a time, to save memory."""
    block = form.width * form.channels
    wave = np.empty(len(samples) // block, np.float32)
    step = max(1, _PIECE // form.channels)
    for at in range(0, len(wave), step):
        piece = samples[at * block : (at + step) * block]
        values = _unit(piece, form, order).reshape(-1, form.channels)
        largest = float(np.abs(values).max())
        if not math.isfinite(largest):
            raise _Fault("has samples that are not finite numbers")
        if largest > _LOUDEST:
            raise _Fault(f"has samples of up to {largest:.3g}, expected -1 to 1")
        wave[at : at + step] = values[:, 0] if form.channels == 1 else values.mean(1, dtype=np.float32)
    return torch.from_numpy(wave)


def _unit(piece: memoryview, form: _Format, order: _Order) -> np.ndarray:
    mark = "<" if order == "little" else ">"
    if form.kind == _FLOAT:
        with np.errstate(over="ignore"):  # it becomes infinite, which is refused
            return np.frombuffer(piece, f"{mark}f{form.width}").astype(np.float32)
    if form.width == 1:  # 8 bit alone is unsigned
        return (np.frombuffer(piece, np.uint8).astype(np.float32) - 128) / 128
    if form.width == 3:  # into the upper bytes of 32 bit
        parts = np.zeros((len(piece) // 3, 4), np.uint8)
        upper = slice(1, 4) if order == "little" else slice(0, 3)
        parts[:, upper] = np.frombuffer(piece, np.uint8).reshape(-1, 3)
        whole = parts.reshape(-1).view(f"{mark}i4")
    else:
        whole = np.frombuffer(piece, f"{mark}i{form.width}")
    return (whole / -float(np.iinfo(whole.dtype).min)).astype(np.float32)
