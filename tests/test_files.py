"""Files are written whole or not at all, and replace only files."""

import os
import resource
import stat
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from normwise.errors import RunError
from normwise.files import is_file, is_there, read_whole, remove_leftovers, write_whole


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    file.chmod(mode)
    write_whole(file, b"new")
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == mode


def test_a_link_stays_a_link_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/target").write_bytes(b"old")
    (tmp_path / "second").symlink_to("inner/target")
    (tmp_path / "first").symlink_to("second")
    write_whole(tmp_path / "first", b"new")
    assert (tmp_path / "first").readlink() == Path("second")
    assert (tmp_path / "inner/target").read_bytes() == b"new"
    assert _names(tmp_path / "inner") == ["target"]


def test_a_link_to_nothing_yet_makes_its_target(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


def test_a_fifo_is_written_into_and_stays_one(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    content, got = b"x" * 200_000, bytearray()  # more than a pipe holds
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)  # so that somebody reads before it is written to

    def read() -> None:
        while len(got) < len(content):
            with suppress(BlockingIOError):
                got.extend(os.read(reading, len(content)))

    reader = threading.Thread(target=read)
    reader.start()
    write_whole(fifo, content)
    reader.join()
    os.close(reading)
    assert got == content
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_a_fifo_that_nobody_reads_from_is_said_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(RunError, match=r"fifo can't be written: it has no reader"):
        write_whole(tmp_path / "fifo", b"x")


def test_a_device_is_written_into_and_stays_one(tmp_path: Path) -> None:
    # A terminal of our own: the only device that anybody may make.
    ours, theirs = os.openpty()
    link = tmp_path / "link"
    link.symlink_to(os.ttyname(theirs))
    write_whole(link, b"shown")
    assert os.read(ours, 100) == b"shown"
    assert stat.S_ISCHR(link.stat().st_mode)
    assert link.is_symlink()
    os.close(ours)
    os.close(theirs)


def test_an_open_descriptor_is_appended_to_and_its_file_not_replaced(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb", buffering=0) as file:
        file.write(b"first ")
        write_whole(Path(f"/dev/fd/{file.fileno()}"), b"second")
        assert os.fstat(file.fileno()).st_nlink == 1
    assert (tmp_path / "file").read_bytes() == b"first second"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (".", "it is a folder"),
        ("n" * 300, "File name too long"),
        ("file/inner", "Not a directory"),
        ("nowhere/file", "No such file or directory"),
        ("a\0b", "null byte"),
        ("loop", "symbolic links"),
    ],
)
def test_where_no_file_can_be_is_said_and_nothing_left(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(RunError, match=f"can't be written: .*{message}.*; choose another place"):
        write_whole(tmp_path / name, b"x")
    assert _names(tmp_path) == ["file", "loop"]


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    name = "é" * 127  # two bytes each
    write_whole(tmp_path / name, b"x")
    assert _names(tmp_path) == [name]


@pytest.mark.parametrize("kind", ["folder", "fifo", "nothing", "large"])
def test_only_a_file_is_read_and_no_more_than_is_allowed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "large":
        path.touch()
        os.truncate(path, 10**12)
    expected = {
        "folder": "is a folder",
        "fifo": "is a FIFO",
        "nothing": "No such file",
        "large": "has more than",
    }
    with pytest.raises(RunError, match=expected[kind]):
        read_whole(path)


def test_a_name_that_no_system_takes_is_not_there() -> None:
    for path in (Path("n" * 5000), Path("a\0b")):
        assert not is_there(path)
        assert not is_file(path)


def test_leftovers_of_named_files_are_removed_and_nothing_else(tmp_path: Path) -> None:
    left = f".checkpoint.{'0a' * 16}"
    kept = ["checkpoint", f".other.{'0a' * 16}", ".checkpoint.backup", f"checkpoint.{'0a' * 16}"]
    for name in (left, *kept):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, ["checkpoint"])
    assert _names(tmp_path) == sorted(kept)


def test_a_disk_that_fills_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # as a full disk, for this process alone
    try:
        with pytest.raises(RunError, match="file can't be written: File too large; choose another place"):
            write_whole(file, b"x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_bytes() == b"old"
    assert _names(tmp_path) == ["file"]
