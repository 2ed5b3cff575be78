"""The spoken digits: from the data folder, the cache or a server; and both splits."""

import hashlib
import io
import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import wavfile

from normwise.data import SequenceData, SpeechOptions, fsdd
from normwise.data.speech.fsdd import fsdd_from
from normwise.errors import DataError

Load = Callable[..., SequenceData]
Serve = Callable[..., Any]
ARCHIVE = "free-spoken-digit-dataset.zip"


@pytest.fixture
def recordings() -> dict[str, bytes]:
    """Two digits by two speakers, numbers 0 to 7 of each."""
    contents: dict[str, bytes] = {}
    generator = np.random.default_rng(0)
    for digit in range(2):
        for speaker in ("ann", "bob"):
            for number in range(8):
                file = io.BytesIO()
                wavfile.write(file, 8000, generator.integers(-9999, 9999, 400 + 80 * number, dtype=np.int16))
                contents[f"{digit}_{speaker}_{number}.wav"] = file.getvalue()
    return contents


def _zipped(recordings: dict[str, bytes], root: str = "free-spoken-digit-dataset-master") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{root}/README.md", "Spoken digits.")
        for name, content in reversed(recordings.items()):
            archive.writestr(f"{root}/recordings/{name}", content)
    return file.getvalue()


@pytest.fixture
def sha256(recordings: dict[str, bytes]) -> str:
    """Computed here anew, so that the loader is not checked against itself."""
    parts = (f"{name} {len(content)}\n".encode() + content for name, content in sorted(recordings.items()))
    return hashlib.sha256(b"".join(parts)).hexdigest()


@pytest.fixture
def load(tmp_path: Path, recordings: dict[str, bytes], serve: Serve, caches: Path, sha256: str) -> Load:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / ARCHIVE).write_bytes(_zipped(recordings))
    server = serve(tmp_path / "served")

    def load(**arguments: Any) -> SequenceData:
        return fsdd_from(f"{server.address}/{ARCHIVE}", sha256, SpeechOptions(**arguments), timeout=5)

    load.server = server  # pyright: ignore[reportFunctionMemberAccess]
    return load


def test_it_is_downloaded_once_into_the_cache(load: Any, caches: Path) -> None:
    first = load()
    assert [path.name for path in (caches / "fsdd").iterdir()] == [ARCHIVE]
    assert load().sha256 == first.sha256
    assert load.server.requests == [f"/{ARCHIVE}"]


@pytest.mark.parametrize("form", ["archive", "folder"])
def test_the_data_folder_comes_first_zipped_or_not(
    load: Any, recordings: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    folder = tmp_path / "mine/fsdd"
    (folder / "recordings").mkdir(parents=True)
    if form == "archive":
        (folder / ARCHIVE).write_bytes(_zipped(recordings, root="fsdd-1.0"))
    else:
        for name, content in recordings.items():
            (folder / "recordings" / name).write_bytes(content)
    monkeypatch.setenv("NORMWISE_DATA_DIR", str(tmp_path / "mine"))
    assert len(load().training) == 12
    assert load.server.requests == []


def test_numbers_below_five_are_the_test_set_of_its_authors(load: Load) -> None:
    data = load()
    assert (len(data.training), len(data.test)) == (12, 20)
    # The shortest have number 0, and 400 samples are three windows.
    assert data.test.lengths.min() == 3
    assert data.training.lengths.min() == 8
    assert data.input_spec.classes == ("0", "1")
    assert (data.input_spec.shape, data.input_spec.rate, data.name) == ((40,), 8000, "fsdd")


def test_the_last_speaker_is_held_out_unless_another_is_named(load: Load) -> None:
    assert load(split="speaker").sha256 == load(split="speaker", speaker="bob").sha256
    assert load(split="speaker").sha256 != load(split="speaker", speaker="ann").sha256
    assert len(load(split="speaker", speaker="ann").test) == 16
    with pytest.raises(DataError, match="fsdd: has no speaker 'eve'; it has ann, bob"):
        load(split="speaker", speaker="eve")


def test_other_content_is_an_error_that_names_the_file(
    load: Load, recordings: dict[str, bytes], caches: Path
) -> None:
    (caches / "fsdd").mkdir(parents=True)
    recordings.popitem()
    (caches / "fsdd" / ARCHIVE).write_bytes(_zipped(recordings))
    with pytest.raises(DataError, match=rf"{ARCHIVE}: the content is not FSDD's: 31 recordings .* delete it"):
        load()


def test_a_damaged_archive_is_an_error_that_names_it(load: Load, caches: Path) -> None:
    (caches / "fsdd").mkdir(parents=True)
    (caches / "fsdd" / ARCHIVE).write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataError, match=rf"{ARCHIVE}: the zip archive is corrupt or cut short"):
        load()


def _altered(recordings: dict[str, bytes], kind: str) -> bytes:
    if kind == "a bomb":
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x/recordings/0_ann_0.wav", bytes(2**26))
        return file.getvalue()
    content = bytearray(_zipped(recordings))
    entry = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 1)
    at, value = {"encrypted": (8, 1), "compressed otherwise": (10, 99), "of a future version": (6, 255)}[kind]
    content[entry + at] = value
    return bytes(content)


@pytest.mark.parametrize("kind", ["a bomb", "encrypted", "compressed otherwise", "of a future version"])
def test_an_altered_archive_is_an_error_that_names_it_in_bounded_memory(
    kind: str, load: Load, recordings: dict[str, bytes], caches: Path
) -> None:
    (caches / "fsdd").mkdir(parents=True)
    (caches / "fsdd" / ARCHIVE).write_bytes(_altered(recordings, kind))
    tracemalloc.start()
    with pytest.raises(
        DataError, match=rf"{ARCHIVE}: the zip archive is corrupt or cut short \(.+\); delete it"
    ):
        load()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


@pytest.mark.parametrize("name", [ARCHIVE, "recordings/0_ann_0.wav"])
def test_a_pipe_in_the_cache_is_named(name: str, load: Load, caches: Path) -> None:
    (caches / "fsdd" / name).parent.mkdir(parents=True)
    os.mkfifo(caches / "fsdd" / name)
    with pytest.raises(DataError, match=rf"{name}: is a named pipe"):
        load()


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "404"), (b"<html>Please log in</html>", "not a zip file"), (_zipped({}), "SHA-256")],
    ids=["not found", "a login page", "another file"],
)
def test_a_failed_download_leaves_nothing_and_says_what_to_do(
    load: Any, tmp_path: Path, caches: Path, content: bytes | None, reason: str
) -> None:
    (tmp_path / "served" / ARCHIVE).unlink()
    if content is not None:
        (tmp_path / "served" / ARCHIVE).write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        load()
    assert list((caches / "fsdd").iterdir()) == []
    for part in (ARCHIVE, load.server.address, str(caches), "NORMWISE_DATA_DIR"):
        assert part in str(caught.value)


@pytest.mark.skipif(
    not (Path(os.environ.get("NORMWISE_DATA_DIR", "nowhere")) / "fsdd").is_dir(),
    reason="NORMWISE_DATA_DIR names no folder with fsdd/ in it",
)
def test_the_real_recordings_have_their_known_form() -> None:
    data = fsdd()
    assert (len(data.training), len(data.test)) == (2700, 300)
    assert data.input_spec.classes == tuple("0123456789")
    assert len(fsdd(SpeechOptions(split="speaker")).test) == 500
