import contextlib
import gzip
import random
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from normwise.data import read_idx
from normwise.errors import DataError

Encode = Callable[[np.ndarray], bytes]
# The fixtures hold nothing that one example could leave behind for the next.
reuse_fixtures = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

HEADER = bytes([0, 0, 8, 1, 0, 0, 0, 3])


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "float32", "float64"])
@reuse_fixtures
@given(data=st.data(), gzipped=st.booleans())
def test_what_was_written_is_read(
    dtype: str, data: st.DataObject, gzipped: bool, tmp_path: Path, encode: Encode
) -> None:
    shape = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
    array = data.draw(hnp.arrays(dtype, shape))
    path = tmp_path / "any-name"
    path.write_bytes(gzip.compress(encode(array)) if gzipped else encode(array))
    read = read_idx(path)
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array, strict=True)
    assert read.flags.writeable


@pytest.mark.parametrize(
    ("code", "number", "value"),
    [
        (0x08, "fe", 254),
        (0x09, "fe", -2),
        (0x0B, "01 02", 258),
        (0x0C, "ff ff ff fe", -2),
        (0x0D, "3f c0 00 00", 1.5),
        (0x0E, "bf f8 00 00 00 00 00 00", -1.5),
    ],
)
def test_numbers_are_big_endian(code: int, number: str, value: float, tmp_path: Path) -> None:
    path = tmp_path / "one-number"
    path.write_bytes(bytes([0, 0, code, 1, 0, 0, 0, 1]) + bytes.fromhex(number))
    assert read_idx(path).tolist() == [value]


@reuse_fixtures
@given(content=st.one_of(st.binary(max_size=30), st.binary(max_size=1100).map(lambda rest: b"\0\0" + rest)))
def test_any_bytes_are_an_array_or_a_data_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "noise"
    path.write_bytes(content)
    # Any other exception fails the test.
    with contextlib.suppress(DataError):
        array = read_idx(path)
        assert len(content) == 4 + 4 * array.ndim + array.nbytes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x89PNG", "is not an IDX file: it starts with the bytes 89 50, expected 00 00"),
        (b"\0\0\x07\x01" + bytes(4), "unknown type code 07, expected one of 08, 09, 0b, 0c, 0d, 0e"),
        (b"\0\0\x08", "cut short within the header: expected at least 4 bytes, got 3"),
        (b"\0\0\x08\x02\0\0\0\x01", "cut short within the header: expected at least 12 bytes, got 8"),
        (HEADER + b"ab", r"cut short: the header promises 3 bytes for shape \(3,\) of uint8, got 2"),
        (HEADER + b"abcd", r"too long: the header promises 3 bytes for shape \(3,\) of uint8, got 4"),
        (bytes([0, 0, 8, 255]) + b"\0\0\0\x01" * 255 + b"a", "no array can have the shape"),
        (b"\x1f\x8bnonsense", "archive is corrupt or cut short"),
        (gzip.compress(HEADER + b"abc")[:-10], "archive is corrupt or cut short"),
        (gzip.compress(HEADER + b"abc")[:-8] + bytes(8), "archive is corrupt or cut short .*CRC"),
        (gzip.compress(b""), "is empty"),
    ],
    # Names of our own: an archive holds the time of its making, and the name of a test must not.
    ids=[
        "empty",
        "no idx",
        "unknown type",
        "no dimensions",
        "half a header",
        "too short",
        "too long",
        "255 dimensions",
        "no archive",
        "archive cut",
        "archive altered",
        "archive of nothing",
    ],
)
def test_each_corruption_is_named_with_its_remedy(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "broken"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"broken: .*{message}.*; delete the file and get it again"):
        read_idx(path)


@pytest.mark.parametrize("kept", range(1, 40))
def test_an_archive_cut_anywhere_is_an_error(kept: int, tmp_path: Path, encode: Encode) -> None:
    archive = gzip.compress(encode(np.arange(30, dtype=np.uint8)))
    path = tmp_path / "cut.gz"
    path.write_bytes(archive[:kept])
    with pytest.raises(DataError, match=r"cut\.gz"):
        read_idx(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent: cannot be read"):
        read_idx(tmp_path / "absent")


def _bomb(path: Path, head: bytes, megabytes: int) -> int:
    """Write a small archive that unpacks to ``head`` and so many megabytes of zeros; return its size."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    with path.open("wb") as file:
        file.write(packer.compress(head))
        for _ in range(megabytes):
            file.write(packer.compress(bytes(2**20)))
        file.write(packer.flush())
    return path.stat().st_size


def _header(*shape: int, code: int = 8) -> bytes:
    return bytes([0, 0, code, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)


def test_an_archive_is_read_no_further_than_its_header_promises(tmp_path: Path) -> None:
    size = _bomb(tmp_path / "bomb.gz", _header(64, 8, 8), 64)
    assert size < 2**17
    tracemalloc.start()
    with pytest.raises(DataError, match=r"bomb\.gz: too long: the header promises 4096 bytes .* got more"):
        read_idx(tmp_path / "bomb.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**21


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    "shape",
    [(2**31, 2**31), (2**32 - 1,) * 8, (60_000, 2**20, 2**20), (2**31 - 1,)],
    ids=["4 EiB", "8", "3", "2 GiB"],
)
def test_a_promise_that_the_file_cannot_keep_is_refused_at_once(
    shape: tuple[int, ...], zipped: bool, tmp_path: Path
) -> None:
    content = _header(*shape, code=14) + bytes(100)
    (tmp_path / "x").write_bytes(gzip.compress(content) if zipped else content)
    tracemalloc.start()
    with pytest.raises(DataError, match=r"x: cut short: the header promises \d+ bytes for shape"):
        read_idx(tmp_path / "x")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**21


def test_a_small_archive_of_very_many_zeros_is_refused(tmp_path: Path) -> None:
    # It is large enough to keep its promise, if all that follows were zeros.
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(_header(2**29) + random.Random(0).randbytes(600_000)))
    with pytest.raises(
        DataError, match=r"bytes would unpack to 536,870,912; if that is right, unpack it with gunzip"
    ):
        read_idx(tmp_path / "bomb.gz")


def test_more_than_2_gib_are_refused_before_they_are_read(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file:
        file.write(_header(2**31, 2))
        file.truncate(2**33)
    with pytest.raises(
        DataError, match=r"has 4,294,967,296 bytes .* expected 2,147,483,648 at most; split it"
    ):
        read_idx(tmp_path / "x")


@pytest.mark.parametrize(
    "behind", [b"x", bytes(9), gzip.compress(b"abc")], ids=["byte", "zeros", "another archive"]
)
def test_what_follows_an_archive_is_an_error_or_padding(behind: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_bytes(gzip.compress(HEADER + b"abc") + behind)
    if not any(behind):  # tapes and blocks are filled up with zeros
        assert read_idx(tmp_path / "x.gz").tolist() == [97, 98, 99]
        return
    with pytest.raises(DataError, match=r"x\.gz: (too long|the gzip archive is corrupt)"):
        read_idx(tmp_path / "x.gz")


@reuse_fixtures
@given(changes=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=5), zipped=st.booleans())
def test_an_altered_file_is_an_array_or_a_data_error(
    changes: list[tuple[int, int]], zipped: bool, tmp_path: Path, encode: Encode
) -> None:
    plain = encode(np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    content = bytearray(gzip.compress(plain, mtime=0) if zipped else plain)
    for at, value in changes:
        content[at] = value
    (tmp_path / "altered").write_bytes(content)
    with contextlib.suppress(DataError):
        assert read_idx(tmp_path / "altered").nbytes <= 4000
