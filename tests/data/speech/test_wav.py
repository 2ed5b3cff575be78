"""WAV files of every kind that recorders write, and of every kind of damage."""

import contextlib
import io
import struct
import tracemalloc
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import wavfile

from normwise.data.speech.speech_data import features_of_file
from normwise.data.speech.speech_features import resampled
from normwise.data.speech.wav import parse_wav, read_wav
from normwise.errors import ArgumentError, DataError

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
        (b"not a wave file at all", "is not a WAV file: it starts with b'not '"),
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
    with pytest.raises(DataError, match=r"a\.wav: has samples that are not finite numbers"):
        parse_wav(file.getvalue(), "a.wav")


def test_a_file_that_is_not_there_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.wav: cannot be read \(No such file"):
        read_wav(tmp_path / "none.wav")


def _header(**changes: int) -> dict[str, int]:
    return {"kind": 1, "channels": 1, "rate": 8000, "speed": 16000, "block": 2, "bits": 16} | changes


def _file(
    samples: bytes = b"\x01\x00" * 100,
    *,
    size: int | None = None,
    whole: int | None = None,
    before: bytes = b"",
    after: bytes = b"",
    order: str = "<",
    **changes: int,
) -> bytes:
    """A file of 16-bit samples, with a header that says something else where ``changes`` do."""
    form = struct.pack(f"{order}HHIIHH", *_header(**changes).values())
    body = (
        *(b"WAVE", before, b"fmt ", struct.pack(f"{order}I", len(form)), form),
        *(b"data", struct.pack(f"{order}I", len(samples) if size is None else size), samples, after),
    )
    content = b"".join(body)
    start = b"RIFF" if order == "<" else b"RIFX"
    return start + struct.pack(f"{order}I", len(content) if whole is None else whole) + content


@pytest.mark.parametrize(
    ("size", "whole"),
    [
        (0xFFFFFFFF, 0xFFFFFFFF),  # ffmpeg
        (0x7FFFF000, 0x7FFFF024),  # SoX
        (0x80000000, 0x80000024),  # arecord
        (0, 0xFFFFFFFF),
        (0, 36),  # begun, and never finished
        (0, 0),
    ],
)
@pytest.mark.parametrize("extra", [b"", b"\x01"], ids=["whole", "half a sample more"])
@pytest.mark.parametrize(
    "before", [b"", b"LIST\x1a\0\0\0INFOISFT\x0e\0\0\0Lavf58.76.100\0"], ids=["", "title"]
)
def test_a_file_from_a_pipe_is_read_to_its_end(size: int, whole: int, extra: bytes, before: bytes) -> None:
    content = _file(b"\x00\x40" * 100 + extra, size=size, whole=whole, before=before)
    read, rate = parse_wav(content, "a.wav")
    assert (rate, read.tolist()) == (8000, [0.5] * 100)


def test_no_samples_before_a_title_are_none() -> None:
    title = b"LIST" + struct.pack("<I", 4) + b"INFO"
    with pytest.raises(DataError, match=r"a\.wav: has no samples"):
        parse_wav(_file(b"", after=title), "a.wav")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        *(
            (
                _file(rate=rate, speed=2 * rate % 2**32),
                f"promises {rate:,} samples a second, expected 1,000 to 768,000",
            )
            for rate in (0, 1, 3, 999, 768_001, 999_999_937, 2**31 - 1, 2**32 - 1)
        ),
        (_file(channels=0), "contradicts itself.* 0 channels"),
        (_file(channels=65535), "contradicts itself.* 65535 channels"),
        (_file(block=0), "contradicts itself.* 0 bytes for a sample"),
        (_file(block=65535), "contradicts itself.* 65535 bytes for a sample"),
        (_file(bits=0), "contradicts itself.* of 0 bits"),
        (_file(bits=24), "contradicts itself.* of 24 bits"),
        (_file(bits=65535), "contradicts itself.* of 65535 bits"),
        (_file(bits=40, block=5, speed=40_000), "of no usual kind: PCM of 40 bits"),
        (_file(speed=1), "contradicts itself.* 1 bytes a second"),
        (_file(kind=3), "of no usual kind: floats of 16 bits"),
        (
            _file(kind=6, bits=8, block=1),
            "its samples are of format 0x6, expected PCM or floats: save it as 16-bit PCM",
        ),
        (_file(size=202), "is cut short: the header promises 202 bytes of samples, got 200"),
        (_file(size=2**30), "is cut short: the header promises 1073741824 bytes"),
        (_file(size=199), "has 199 bytes of samples, expected a multiple of 2"),
        (_file(before=b"LIST" + struct.pack("<I", 2**31 - 9)), "it has no format"),
        (b"RIFF\x10\0\0\0WAVEdata\x02\0\0\0\0\0", "the samples come before their format"),
        (b"RIFF\x10\0\0\0WAVEfmt \x08\0\0\0" + bytes(8), "its format is cut short"),
        (b"RIFF\x10\0\0\0WAVE" + b"junk\0\0\0\0" * 10_001, "it has more than 10,000 parts"),
    ],
)
def test_a_header_that_lies_is_one_error(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=rf"a\.wav: .*{message}.*; replace or remove it"):
        parse_wav(content, "a.wav")


def test_a_part_of_odd_length_is_followed_by_a_byte_that_counts_for_nothing() -> None:
    read, _ = parse_wav(_file(before=b"junk" + struct.pack("<I", 3) + b"abc\0"), "a.wav")
    assert len(read) == 100


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_extended_header_says_the_same_in_other_words(order: str) -> None:
    name = bytes.fromhex("00001000800000aa00389b71" if order == "<" else "00000010800000aa00389b71")
    samples = struct.pack(f"{order}2f", 0.25, -0.5)

    def extended(kind: int, name: bytes) -> bytes:
        form = struct.pack(f"{order}HHIIHHHHII", 0xFFFE, 1, 8000, 32000, 4, 32, 22, 32, 0, kind) + name
        content = (
            b"WAVEfmt "
            + struct.pack(f"{order}I", 40)
            + form
            + b"data"
            + struct.pack(f"{order}I", 8)
            + samples
        )
        return (b"RIFF" if order == "<" else b"RIFX") + struct.pack(f"{order}I", len(content)) + content

    read, rate = parse_wav(extended(3, name), "a.wav")
    assert (rate, read.tolist()) == (8000, [0.25, -0.5])
    for kind, other in ((3, bytes(12)), (85, name)):
        with pytest.raises(DataError, match=r"a\.wav: cannot be read as a WAV file"):
            parse_wav(extended(kind, other), "a.wav")


@pytest.mark.parametrize("dtype", ["u1", "<i2", "<i4", "<i8", "<f4", "<f8", ">i2", ">i4", ">f4"])
@pytest.mark.parametrize("channels", [1, 2, 9, 200])
def test_samples_are_those_that_scipy_reads(dtype: str, channels: int) -> None:
    generator = np.random.default_rng(0)
    if np.issubdtype(np.dtype(dtype), np.integer):
        limits = np.iinfo(dtype)
        native = np.dtype(dtype).newbyteorder("=")
        samples = generator.integers(limits.min, limits.max, (77, channels), native, endpoint=True).astype(
            dtype
        )
    else:
        samples = generator.standard_normal((77, channels)).astype(dtype)
    file = io.BytesIO()
    wavfile.write(file, 44100, samples)
    read, rate = parse_wav(file.getvalue(), "a.wav")
    unit = samples.astype(np.float64)
    if dtype == "u1":
        unit = (unit - 128) / 128
    elif "i" in dtype:
        unit /= 2.0 ** (8 * samples.itemsize - 1)
    assert rate == 44100
    np.testing.assert_allclose(read.numpy(), unit.mean(1), rtol=0, atol=1e-6)


def test_rf64_has_its_size_elsewhere() -> None:
    sizes = b"ds64" + struct.pack("<IQQQI", 28, 0, 200, 100, 0)
    content = _file(size=0xFFFFFFFF, whole=0xFFFFFFFF, before=sizes, after=b"LIST\x04\0\0\0INFO")
    read, _ = parse_wav(b"RF64" + content[4:], "a.wav")
    assert len(read) == 100
    short = content.replace(struct.pack("<Q", 200), struct.pack("<Q", 300))
    with pytest.raises(DataError, match="is cut short: the header promises 300 bytes of samples, got 212"):
        parse_wav(b"RF64" + short[4:], "a.wav")


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (1e25, "f4", r"has samples of up to 1e\+25, expected -1 to 1"),
        (-(2.0**32), "f4", r"has samples of up to 4.29e\+09"),
        (1e300, "f8", "has samples that are not finite numbers"),
        (float("inf"), "f4", "has samples that are not finite numbers"),
        (float("nan"), "f8", "has samples that are not finite numbers"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_that_no_feature_can_be_made_of_are_an_error(
    value: float, dtype: str, message: str, channels: int
) -> None:
    samples = np.zeros((50, channels), dtype)
    samples[49, -1] = value
    file = io.BytesIO()
    wavfile.write(file, 8000, samples)
    with pytest.raises(DataError, match=rf"a\.wav: {message}"):
        parse_wav(file.getvalue(), "a.wav")


def test_integers_that_were_only_made_floats_are_taken(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-20_000, 20_000, 4000, np.int16)
    wavfile.write(tmp_path / "int.wav", 8000, samples)
    wavfile.write(tmp_path / "float.wav", 8000, samples.astype(np.float32))
    expected, got = (
        features_of_file(tmp_path / "int.wav", 8000),
        features_of_file(tmp_path / "float.wav", 8000),
    )
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-2)


def test_rates_that_are_too_costly_are_refused_before_they_cost(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(_file(rate=767_999, speed=2 * 767_999))
    with pytest.raises(DataError, match=r"a\.wav: 767,999 samples per second are not a usual rate"):
        features_of_file(path, 8000)
    with pytest.raises(
        ArgumentError, match="expected a rate of 1,000 to 384,000 samples a second, got 1000000000"
    ):
        features_of_file(path, 10**9)
    # 2**28 samples as a view of one: the promise alone is looked at.
    with pytest.raises(DataError, match="are 2,147,483,648 at 8,000 a second, expected 268,435,456 at most"):
        resampled(torch.zeros(1).expand(2**28), 1000, 8000)


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_wave_or_a_data_error(content: bytes) -> None:
    for start in (b"", b"RIFF\0\0\0\0WAVE", _file()[:36]):
        with contextlib.suppress(DataError):
            wave, rate = parse_wav(start + content, "a.wav")
            assert wave.dtype == torch.float32
            assert wave.isfinite().all()
            assert 1000 <= rate <= 768_000


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=6))
@settings(max_examples=300, deadline=None)
def test_an_altered_header_is_a_wave_or_a_data_error(changes: list[tuple[int, int]]) -> None:
    content = bytearray(_file(b"\x01\x00" * 1000))
    for at, value in changes:
        content[at] = value
    with contextlib.suppress(DataError):
        wave, _ = parse_wav(bytes(content), "a.wav")
        assert 1 <= len(wave) <= 2000


def test_memory_is_a_few_times_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(_file(bytes(2**24), channels=2, block=4, speed=32000))
    tracemalloc.start()
    read_wav(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The file, the wave (as large here) and a piece of a million samples as float64 and float32.
    assert peak < 2 * 2**24 + 2**25
