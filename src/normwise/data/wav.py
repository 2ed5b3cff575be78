"""Recordings in WAV files."""

import io
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from normwise.errors import DataError

_REMEDY = "replace or remove it"


def read_wav(path: str | Path) -> tuple[Tensor, int]:
    """The wave in a file, float32 (T,) in [-1, 1], and its samples a second.

    PCM of 8, 16, 24 or 32 bit, or floats; of several channels the mean is taken.

    Raises:
        DataError: the file can't be read, is no such WAV file, is cut short, or has no samples.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    return parse_wav(content, path)


def parse_wav(content: bytes, path: str | Path) -> tuple[Tensor, int]:
    """As :func:`read_wav`, of the bytes of a file; ``path`` is for the error only."""
    # A third of a second, which readers of other data need not wait for.
    from scipy.io import wavfile

    if not content:
        raise DataError(f"{path}: is empty; {_REMEDY}")
    if content[:4] not in (b"RIFF", b"RIFX", b"RF64") or content[8:12] != b"WAVE":
        raise DataError(f"{path}: is no WAV file: it starts with {content[:4]!r}; {_REMEDY}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of chunks that tell a title or the like
            rate, samples = wavfile.read(io.BytesIO(content))
    except Exception as error:  # of a damaged header, anything
        raise DataError(f"{path}: cannot be read as a WAV file ({error}); {_REMEDY}") from error
    _check_whole(content, path)
    if samples.size == 0:
        raise DataError(f"{path}: has no samples; {_REMEDY}")
    wave = _unit(samples)
    if not np.isfinite(wave).all():
        raise DataError(f"{path}: has samples that are no numbers; {_REMEDY}")
    if rate < 1:
        raise DataError(f"{path}: promises {rate} samples a second; {_REMEDY}")
    return torch.from_numpy(wave if wave.ndim == 1 else wave.mean(1, dtype=np.float32)), int(rate)


def _check_whole(content: bytes, path: str | Path) -> None:
    """Raise DataError where the samples end before the header says: SciPy would give those that are there."""
    order = "big" if content.startswith(b"RIFX") else "little"
    start = 12
    while start + 8 <= len(content):
        name, size = content[start : start + 4], int.from_bytes(content[start + 4 : start + 8], order)
        if name == b"data":
            got = len(content) - start - 8
            if got < size and not content.startswith(b"RF64"):
                raise DataError(
                    f"{path}: is cut short: the header promises {size} bytes of samples, got {got}; {_REMEDY}"
                )
            return
        start += 8 + size + size % 2
    raise DataError(f"{path}: has no samples; {_REMEDY}")


def _unit(samples: np.ndarray) -> np.ndarray:
    """Samples as float32 in [-1, 1)."""
    if samples.dtype == np.uint8:  # 8 bit alone is unsigned
        return (samples.astype(np.float32) - 128) / 128
    if np.issubdtype(samples.dtype, np.integer):  # SciPy has 24 bit in the upper bits of 32
        return (samples / -float(np.iinfo(samples.dtype).min)).astype(np.float32)
    return samples.astype(np.float32)
