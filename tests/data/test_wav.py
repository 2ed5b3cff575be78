"""WAV files of every kind that recorders write, and of every kind of damage."""

import io
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from normwise.data.wav import parse_wav, read_wav
from normwise.errors import DataError

WAVE = np.sin(np.arange(400) * 0.1) * 0.5


def _pcm(width: int, samples: np.ndarray = WAVE, rate: int = 8000) -> bytes:
    """A file of the standard library's writer, of so many bytes a sample; stereo where there are two columns."""
    columns = samples if samples.ndim == 2 else samples[:, None]
    full = 2 ** (8 * width - 1)
    numbers = np.round(columns * full).astype(np.int64) + (128 if width == 1 else 0)
    content = b"".join(
        int(number).to_bytes(width, "little", signed=width > 1) for number in numbers.reshape(-1)
    )
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(columns.shape[1])
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes(content)
    return file.getvalue()


@pytest.mark.parametrize(("width", "error"), [(1, 2**-7), (2, 2**-15), (3, 2**-22), (4, 2**-22)])
def test_a_wave_is_in_one_unit_whatever_its_bits(tmp_path: Path, width: int, error: float) -> None:
    (tmp_path / "a.wav").write_bytes(_pcm(width, rate=11025))
    read, rate = read_wav(tmp_path / "a.wav")
    assert rate == 11025
    assert read.dtype == torch.float32
    np.testing.assert_allclose(read.numpy(), WAVE, rtol=0, atol=error)


def test_floats_are_taken_as_they_are() -> None:
    file = io.BytesIO()
    wavfile.write(file, 16000, WAVE.astype(np.float32))
    read, rate = parse_wav(file.getvalue(), "a.wav")
    assert rate == 16000
    np.testing.assert_allclose(read.numpy(), WAVE, rtol=0, atol=1e-7)


def test_of_two_channels_the_mean_is_taken() -> None:
    both = np.stack([WAVE, -0.5 * WAVE], axis=1)
    read, _ = parse_wav(_pcm(2, both), "a.wav")
    np.testing.assert_allclose(read.numpy(), 0.25 * WAVE, rtol=0, atol=2**-14)


def test_a_title_behind_the_samples_is_passed_over() -> None:
    content = _pcm(2)
    extra = b"LIST" + struct.pack("<I", 4) + b"INFO"
    size = struct.pack("<I", len(content) - 8 + len(extra))
    read, _ = parse_wav(content[:4] + size + content[8:] + extra, "a.wav")
    assert len(read) == len(WAVE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"not a wave file at all", "is no WAV file: it starts with b'not '"),
        (b"RIFF\x04\0\0\0WAVE", "cannot be read as a WAV file|has no samples"),
        (_pcm(2)[:20], "cannot be read as a WAV file"),
        (_pcm(2)[:-100], "is cut short: the header promises 800 bytes of samples, got 700"),
        (_pcm(2, WAVE[:0]), "has no samples"),
        (_pcm(2)[:20] + b"\xff\xff" + _pcm(2)[22:], "cannot be read as a WAV file"),
    ],
    ids=["empty", "text", "no chunks", "half a header", "cut short", "no samples", "unknown format"],
)
def test_a_faulty_file_is_one_error_with_its_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "7_theo_3.wav"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"7_theo_3\.wav: ({message}).*replace or remove it"):
        read_wav(path)


def test_samples_that_are_no_numbers_are_an_error() -> None:
    file = io.BytesIO()
    wavfile.write(file, 16000, np.array([0.0, np.nan], dtype=np.float32))
    with pytest.raises(DataError, match=r"a\.wav: has samples that are no numbers"):
        parse_wav(file.getvalue(), "a.wav")


def test_a_file_that_is_not_there_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.wav: cannot be read \(No such file"):
        read_wav(tmp_path / "none.wav")
