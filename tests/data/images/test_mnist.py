import gzip
import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normwise.data import ImageData, mnist
from normwise.data.images.idx_folder import IDX_NAMES, find_idx
from normwise.data.images.mnist import mnist_from
from normwise.errors import DataError

Arrays = dict[str, np.ndarray]
WriteIdx = Callable[[Path, Mapping[str, np.ndarray]], None]
Load = Callable[[], ImageData]
Server = Any
Serve = Callable[..., Server]
TRAIN_LABELS = IDX_NAMES[1]
ARCHIVES = [f"{name}.gz" for name in IDX_NAMES]


@pytest.fixture
def served(tmp_path: Path, arrays: Arrays, write_idx: WriteIdx) -> Path:
    write_idx(tmp_path / "served", arrays)
    return tmp_path / "served"


@pytest.fixture
def server(served: Path, serve: Serve) -> Server:
    return serve(served)


@pytest.fixture
def cache(caches: Path) -> Path:
    return caches / "mnist"


@pytest.fixture
def digests(arrays: Arrays, encode: Callable[[np.ndarray], bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(encode(array)).hexdigest() for name, array in arrays.items()}


@pytest.fixture
def load(server: Server, cache: Path, digests: dict[str, str]) -> Load:
    return lambda: mnist_from(server.address, digests, timeout=5)


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_is_downloaded_once_into_the_cache(load: Load, server: Server, cache: Path) -> None:
    assert load().train_labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert files_in(cache) == sorted(ARCHIVES)
    assert load().name == "mnist"
    assert server.requests == [f"/{archive}" for archive in ARCHIVES]


def test_only_what_is_missing_is_downloaded(
    load: Load, server: Server, cache: Path, arrays: Arrays, write_idx: WriteIdx
) -> None:
    write_idx(cache, {name: array for name, array in arrays.items() if name != TRAIN_LABELS})
    load()
    assert server.requests == [f"/{TRAIN_LABELS}.gz"]


def test_the_data_folder_comes_before_the_cache(
    load: Load,
    served: Path,
    cache: Path,
    tmp_path: Path,
    server: Server,
    write_idx: WriteIdx,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served.rename(tmp_path / "mnist")
    monkeypatch.setenv("NORMWISE_DATA_DIR", str(tmp_path))
    # Taken first, this would be an error.
    write_idx(cache, {name: np.zeros(1, np.uint8) for name in IDX_NAMES})
    load()
    assert server.requests == []


def test_a_data_folder_without_mnist_is_passed_over(
    load: Load, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NORMWISE_DATA_DIR", str(tmp_path / "elsewhere"))
    load()
    assert files_in(cache) == sorted(ARCHIVES)


def test_a_file_with_other_content_is_named_with_both_digests(
    load: Load, cache: Path, arrays: Arrays, digests: dict[str, str], write_idx: WriteIdx
) -> None:
    write_idx(cache, arrays | {TRAIN_LABELS: np.zeros(6, np.uint8)})
    with pytest.raises(
        DataError, match=f"{TRAIN_LABELS}.gz: the content is not MNIST's.*delete it"
    ) as caught:
        load()
    assert f"expected {digests[TRAIN_LABELS]}" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "404"),
        (b"<html>Please log in</html>", "SHA-256"),
        (gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 0])), "SHA-256"),
        (gzip.compress(bytes(1000))[:-9], "ended"),
    ],
    ids=["not found", "a login page", "another file", "a damaged archive"],
)
def test_a_failed_download_leaves_nothing_and_says_what_to_do(
    content: bytes | None, reason: str, load: Load, server: Server, served: Path, cache: Path
) -> None:
    broken = served / ARCHIVES[1]
    broken.unlink()
    if content is not None:
        broken.write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        load()
    assert files_in(cache) == ARCHIVES[:1]
    for part in (*ARCHIVES, server.address, str(cache), "NORMWISE_DATA_DIR"):
        assert part in str(caught.value)


def test_a_server_that_is_not_there_is_one_error(
    cache: Path, served: Path, serve: Serve, digests: dict[str, str]
) -> None:
    gone = serve(served)
    gone.stop()
    with pytest.raises(DataError, match=f"could not be downloaded from {gone.address}.*refused"):
        mnist_from(gone.address, digests, timeout=5)


def test_a_silent_server_is_given_up(
    cache: Path, served: Path, serve: Serve, digests: dict[str, str]
) -> None:
    with pytest.raises(DataError, match="timed out"):
        mnist_from(serve(served, answering=False).address, digests, timeout=0.1)


def test_a_cache_that_cannot_be_made_is_one_error(load: Load, cache: Path) -> None:
    cache.parent.write_text("a file where the folder should be")
    with pytest.raises(DataError, match="could not be downloaded"):
        load()


def test_downloads_at_the_same_time_do_not_hurt_each_other(load: Load, cache: Path) -> None:
    start = threading.Barrier(4)

    def race() -> int:
        start.wait()
        return len(load().train_images)

    with ThreadPoolExecutor(4) as pool:
        counts = [task.result() for task in [pool.submit(race) for _ in range(4)]]
    assert counts == [6] * 4
    assert files_in(cache) == sorted(ARCHIVES)


def _real_mnist_is_here() -> bool:
    folder = Path(os.environ.get("NORMWISE_DATA_DIR", "")) / "mnist"
    return "NORMWISE_DATA_DIR" in os.environ and all(find_idx(folder, name) for name in IDX_NAMES)


@pytest.mark.skipif(not _real_mnist_is_here(), reason="NORMWISE_DATA_DIR names no folder with mnist/ in it")
def test_the_real_mnist_has_its_known_form() -> None:
    data = mnist()
    assert data.train_images.shape == (60_000, 1, 28, 28)
    assert data.test_images.shape == (10_000, 1, 28, 28)
    assert data.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.train_images.mean().item() == pytest.approx(0.1307, abs=1e-4)
