"""A published set of four IDX files: found here or downloaded."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from normwise.data.files.compressed import GZIP_ERRORS, read_up_to, unpacked
from normwise.data.files.known_files import TIMEOUT, ArchiveError, KnownFiles
from normwise.data.images.idx import array_of, idx_content, read_content
from normwise.data.images.idx_folder import IDX_NAMES, IdxFile, find_idx, from_idx_files
from normwise.data.images.image_data import ImageData

# Of any file, uncompressed; the largest of MNIST's has 47 MB.
_LARGEST = 2**26


@dataclass(frozen=True)
class KnownIdx:
    """Four gzipped IDX files on a server, and their content.

    Attributes:
        name: Name of the data set, and of its folder among the user's data and in the cache.
        title: Name of the data set in errors.
        address: Folder on a server that has the four ``.gz`` files.
        sha256: Hexadecimal SHA-256 of each of ``IDX_NAMES``, uncompressed: the archives differ between servers.
        installed: Folder that a package of the operating system puts them into; None where there is no package.
    """

    name: str
    title: str
    address: str
    sha256: Mapping[str, str]
    installed: Path | None = None

    def images(self, timeout: float = TIMEOUT) -> ImageData:
        """Return the data set.

        Args:
            timeout: Seconds that the server may stay silent.

        Raises:
            DataError: a file is damaged or another, or can't be downloaded; says which and what to do.
        """
        return from_idx_files(self.name, [self._file(name, timeout) for name in IDX_NAMES])

    def _file(self, name: str, timeout: float) -> IdxFile:
        known = KnownFiles(
            name=self.name,
            title=self.title,
            address=f"{self.address}/{name}.gz",
            archive=f"{name}.gz",
            digests={name: self.sha256[name]},
            members=partial(_uncompressed, name),
            unpacked=lambda folder: None if (path := find_idx(folder, name)) is None else {name: path},
            read=lambda path: bytes(read_content(path).raw),
            wanted=", ".join(f"{archive}.gz" for archive in IDX_NAMES),
            largest=_LARGEST,
            timeout=timeout,
            installed=self.installed,
        )
        content = known.contents()[name]
        return IdxFile(Path(name), array_of(idx_content(io.BytesIO(content), name)))


def _uncompressed(name: str, content: bytes) -> dict[str, bytes]:
    try:
        return {name: bytes(read_up_to(unpacked(io.BytesIO(content)), _LARGEST))}
    except GZIP_ERRORS as error:
        raise ArchiveError(str(error)) from error
