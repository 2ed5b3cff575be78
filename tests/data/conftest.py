"""Tiny data sets on disk, and a server on this machine that has them."""

import gzip
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from normwise.data.images.idx_folder import IDX_NAMES


def idx_bytes(array: np.ndarray) -> bytes:
    """The IDX file of an array, written here anew so that the reader is not checked against itself."""
    code = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}[array.dtype.name]
    dims = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, code, array.ndim]) + dims + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def encode() -> Callable[[np.ndarray], bytes]:
    return idx_bytes


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """Four arrays that make up a data set: six training and three test images, 2×3, of three classes."""
    generator = np.random.default_rng(0)
    contents = (
        generator.integers(0, 256, (6, 2, 3), dtype=np.uint8),
        np.array([0, 1, 2, 0, 1, 2], dtype=np.uint8),
        generator.integers(0, 256, (3, 2, 3), dtype=np.uint8),
        np.array([2, 1, 0], dtype=np.uint8),
    )
    return dict(zip(IDX_NAMES, contents, strict=True))


@pytest.fixture
def write_idx() -> Callable[[Path, Mapping[str, np.ndarray]], None]:
    """Writes arrays into a folder as gzipped IDX files."""

    def write(folder: Path, contents: Mapping[str, np.ndarray]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in contents.items():
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(array)))

    return write


class _Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.requests.append(self.path)  # pyright: ignore[reportAttributeAccessIssue]
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    """Serves a folder on this machine and keeps the paths that it was asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
        self.requests: list[str] = []
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def start(self) -> None:
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        if self._thread is not None:
            self.shutdown()
            self._thread.join()
            self._thread = None
        self.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[..., _Server]]:
    """Serves a folder until the test ends; without ``answering`` a connection stands, and no answer comes."""
    servers: list[_Server] = []

    def serve(folder: Path, *, answering: bool = True) -> _Server:
        servers.append(server := _Server(folder))
        if answering:
            server.start()
        return server

    yield serve
    for server in servers:
        server.stop()


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache, which is empty; there is no folder of data."""
    monkeypatch.setenv("NORMWISE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("NORMWISE_DATA_DIR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache"
