"""The sentences of film reviews: from the data folder, the cache or a server."""

import gzip
import hashlib
import io
import os
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from normwise.data import SequenceData, Vocabulary, rt_polarity
from normwise.data.text.rt_polarity import rt_polarity_from
from normwise.errors import DataError

Serve = Callable[..., Any]
ARCHIVE = "rt-polaritydata.tar.gz"
FILES = {
    "rt-polarity.neg": "".join(f"dull number {number} \n" for number in range(30)).encode("windows-1252"),
    "rt-polarity.pos": "".join(f"a fianc\u00e9 of number {number} \n" for number in range(30)).encode(
        "windows-1252"
    ),
}
SHA256 = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}


def _archive(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in {"README": b"Sentences.", **files}.items():
            member = tarfile.TarInfo(f"rt-polaritydata/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


@pytest.fixture
def server(tmp_path: Path, serve: Serve, caches: Path) -> Any:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / ARCHIVE).write_bytes(_archive(FILES))
    return serve(tmp_path / "served")


def _load(server: Any) -> SequenceData:
    return rt_polarity_from(f"{server.address}/{ARCHIVE}", SHA256, timeout=5)


def test_it_is_downloaded_once_into_the_cache(server: Any, caches: Path) -> None:
    first = _load(server)
    assert [path.name for path in (caches / "rt-polarity").iterdir()] == [ARCHIVE]
    assert _load(server).sha256 == first.sha256
    assert server.requests == [f"/{ARCHIVE}"]


def test_the_data_folder_comes_first(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mine/rt-polarity"
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    monkeypatch.setenv("NORMWISE_DATA_DIR", str(tmp_path / "mine"))
    assert _load(server).name == "rt-polarity"
    assert server.requests == []
    (folder / "rt-polarity.neg").write_bytes(b"something else\n")
    with pytest.raises(DataError, match=r"rt-polarity\.neg: the content is not rt-polarity's.*delete it"):
        _load(server)


def test_a_tenth_of_each_class_is_for_the_test_and_the_words_are_those_of_the_rest(server: Any) -> None:
    data = _load(server)
    assert data.input_spec.classes == ("negative", "positive")
    assert sorted(data.test.labels.tolist()) == [0] * 3 + [1] * 3
    assert len(data.training) == 54
    vocabulary = Vocabulary(data.input_spec.vocabulary)
    assert data.input_spec.shape == (len(vocabulary),)
    assert "fiancé" in vocabulary.tokens
    # Each number stands in one sentence of each class: those of the test alone are unknown.
    assert (data.test.values == 1).sum() <= 6


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "404"),
        (b"<html>Please log in</html>", "not a gzip file"),
        (_archive({"rt-polarity.neg": FILES["rt-polarity.neg"]}), "the archive has no rt-polarity.pos"),
        (_archive({**FILES, "rt-polarity.pos": b"other"}), "rt-polarity.pos has SHA-256"),
    ],
    ids=["not found", "a login page", "half of it", "another"],
)
def test_a_failed_download_leaves_nothing_and_says_what_to_do(
    server: Any, tmp_path: Path, caches: Path, content: bytes | None, reason: str
) -> None:
    (tmp_path / "served" / ARCHIVE).unlink()
    if content is not None:
        (tmp_path / "served" / ARCHIVE).write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        _load(server)
    assert list((caches / "rt-polarity").iterdir()) == []
    for part in (*FILES, server.address, str(caches), "NORMWISE_DATA_DIR"):
        assert part in str(caught.value)


def test_a_damaged_archive_in_the_cache_is_named(server: Any, caches: Path) -> None:
    (caches / "rt-polarity").mkdir(parents=True)
    (caches / "rt-polarity" / ARCHIVE).write_bytes(b"no archive")
    with pytest.raises(DataError, match=rf"{ARCHIVE}: .*; delete it and run again"):
        _load(server)


def test_a_bomb_in_the_cache_is_unpacked_no_further_than_the_data_could_be(server: Any, caches: Path) -> None:
    (caches / "rt-polarity").mkdir(parents=True)
    (caches / "rt-polarity" / ARCHIVE).write_bytes(_archive({**FILES, "rt-polarity.pos": bytes(2**27)}))
    tracemalloc.start()
    with pytest.raises(
        DataError, match=rf"{ARCHIVE}: the archive unpacks to more than 16,777,216 bytes; delete it"
    ):
        _load(server)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**26


def _linked() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name in FILES:
            member = tarfile.TarInfo(f"rt-polaritydata/{name}")
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
            archive.addfile(member)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [_linked(), _archive(FILES)[:-20], gzip.compress(b"no archive" * 99)],
    ids=["links", "half", "no tar"],
)
def test_an_altered_archive_is_named(content: bytes, server: Any, caches: Path) -> None:
    (caches / "rt-polarity").mkdir(parents=True)
    (caches / "rt-polarity" / ARCHIVE).write_bytes(content)
    with pytest.raises(DataError, match=rf"{ARCHIVE}: .+; delete it and run again"):
        _load(server)


@pytest.mark.parametrize("name", [ARCHIVE, "rt-polarity.neg"])
def test_a_pipe_in_the_cache_is_named(name: str, server: Any, caches: Path) -> None:
    (caches / "rt-polarity").mkdir(parents=True)
    (caches / "rt-polarity/rt-polarity.pos").touch()
    os.mkfifo(caches / "rt-polarity" / name)
    with pytest.raises(DataError, match=rf"{name}: is a named pipe"):
        _load(server)


@pytest.mark.skipif(
    not (Path(os.environ.get("NORMWISE_DATA_DIR", "nowhere")) / "rt-polarity").is_dir(),
    reason="NORMWISE_DATA_DIR names no folder with rt-polarity/ in it",
)
def test_the_real_sentences_have_their_known_form() -> None:
    data = rt_polarity()
    assert (len(data.training), len(data.test)) == (9596, 1066)
    assert data.training.labels.bincount().tolist() == [4798, 4798]
