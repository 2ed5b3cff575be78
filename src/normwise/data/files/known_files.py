"""Files of a published data set: found in the user's folder or in the cache, else downloaded; checked by SHA-256."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from normwise.data.files.data_folders import cache_folder, data_folders, folders_in_words
from normwise.data.files.user_file import read_user_file
from normwise.errors import DataError
from normwise.extras import needs_extra
from normwise.files import is_there

#: Seconds that a server may stay silent.
TIMEOUT = 30.0


class ArchiveError(Exception):
    """An archive can't be read, or has something else in it; the text says why."""


@dataclass(frozen=True)
class Together:
    """One digest of all members of an archive, for thousands of them.

    Attributes:
        sha256: Hexadecimal, over each member's name, size and content, in the order of the names.
        noun: Word for the members, such as "recordings".
    """

    sha256: str
    noun: str


@dataclass(frozen=True)
class KnownFiles:
    """One file to download, an archive, and the members that are wanted from it.

    Attributes:
        name: Name of the data set's folder, among the user's data and in the cache.
        title: Name of the data set in errors.
        address: Address of the archive.
        archive: Name of the archive on the disk.
        digests: SHA-256 of each member's content, hexadecimal, by its name; or of all together.
        members: Unpacks the content of the archive; raises ArchiveError.
        unpacked: Paths of the members that lie in a folder without the archive, by name; None where they are not
            there.
        read: Reads one of those paths.
        wanted: Files that a user can put into a folder instead, in words.
        largest: Bytes that an archive may have at most.
        timeout: Seconds that the server may stay silent.
        installed: Folder that a package of the operating system puts the members into; None where there is no package.
    """

    name: str
    title: str
    address: str
    archive: str
    digests: Mapping[str, str] | Together
    members: Callable[[bytes], Mapping[str, bytes]]
    unpacked: Callable[[Path], Mapping[str, Path] | None]
    read: Callable[[Path], bytes]
    wanted: str
    largest: int
    timeout: float = TIMEOUT
    installed: Path | None = None

    def contents(self) -> Mapping[str, bytes]:
        """Return the content of each member by its name, compared with its digest every time.

        Raises:
            DataError: a file is damaged or another, or can't be downloaded; says which and what to do.
        """
        folders = data_folders(self.name)
        for folder in folders if self.installed is None else [*folders, self.installed]:
            if (paths := self.unpacked(folder)) is not None:
                return self._checked({name: self.read(path) for name, path in paths.items()}, folder, paths)
            if is_there(archive := folder / self.archive):
                content = read_user_file(archive, self.largest)
                try:
                    found = self.members(content)
                except ArchiveError as error:
                    raise DataError(f"{archive}: {error}; delete it and run again") from error
                return self._checked(found, archive, {})
        return self._downloaded()

    def _checked(
        self, found: Mapping[str, bytes], place: Path, paths: Mapping[str, Path]
    ) -> Mapping[str, bytes]:
        if fault := self._fault(found):
            member, what = fault
            where = paths.get(member, place)
            raise DataError(f"{where}: the content is not {self.title}'s: {what}; delete it and run again")
        return found

    def _fault(self, found: Mapping[str, bytes]) -> tuple[str, str] | None:
        """Return the member that is wrong, empty for all together, and what is wrong with it; None if nothing is."""
        if isinstance(self.digests, Together):
            got, noun, expected = digest_of(found), self.digests.noun, self.digests.sha256
            wrong = got != expected
            return ("", f"{len(found)} {noun} with SHA-256 {got}, expected {expected}") if wrong else None
        for name, expected in self.digests.items():
            if name not in found:
                return name, f"the archive has no {name}"
            if (got := hashlib.sha256(found[name]).hexdigest()) != expected:
                return name, f"{name} has SHA-256 {got}, expected {expected}"
        return None

    def _downloaded(self) -> Mapping[str, bytes]:
        try:
            with _downloaded(self.address, cache_folder(self.name) / self.archive, self.timeout) as content:
                found = self.members(content)
                if fault := self._fault(found):
                    raise ArchiveError(fault[1])
        except (OSError, ArchiveError) as error:
            raise DataError(
                f"{self.title} could not be downloaded from {self.address}. Try again, or put {self.wanted} into "
                f"{folders_in_words(self.name)}. What went wrong: {error}"
            ) from error
        return found


def digest_of(found: Mapping[str, bytes]) -> str:
    """Return the SHA-256 of all members together, as :class:`Together` has it."""
    digest = hashlib.sha256()
    for name, content in sorted(found.items()):
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


@contextmanager
def _downloaded(address: str, target: Path, timeout: float) -> Iterator[bytes]:
    """Get one file whole, give out its content to be looked at, and then put it into its place at once.

    Raises:
        OSError: it can't be got or written.
    """
    with needs_extra("study", f"downloading {address}"):
        import pooch

    # Whole answers, at most 30 MB: a stream that fails midway leaves its connection open.
    fetch = pooch.HTTPDownloader(timeout=timeout, stream=False)
    target.parent.mkdir(parents=True, exist_ok=True)
    # A folder of our own beside the target: two processes never write one file, and the move into
    # place happens at once, so that no other process ever sees half a file.
    with tempfile.TemporaryDirectory(prefix=".download-", dir=target.parent) as folder:
        part = Path(folder, target.name)
        fetch(address, part, None)
        yield part.read_bytes()
        part.replace(target)
