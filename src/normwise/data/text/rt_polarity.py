"""The sentence polarity data set of Pang and Lee: 10,662 sentences of film reviews, found here or downloaded."""

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from normwise.data.download import TIMEOUT, cache, download, folders, places
from normwise.data.files.compressed import is_gzipped, read_up_to, unpacked
from normwise.data.files.user_file import is_there, read_whole
from normwise.data.sequences.sequence_data import SequenceData
from normwise.data.text.text_data import Text, text_data
from normwise.errors import DataError

_ADDRESS = "https://www.cs.cornell.edu/people/pabo/movie-review-data/rt-polaritydata.tar.gz"
_SHA256 = {
    "rt-polarity.neg": "4ace77d558c3714723843f1d65b60c01e3417b208180f0728808d76ad0eeeaca",
    "rt-polarity.pos": "2da124ec187a9d5a29c9f04e91c540e02baed5af8868f550a26bd6fd4dbf8bf0",
}
_CLASSES = {"rt-polarity.neg": "negative", "rt-polarity.pos": "positive"}
#: Bytes of each file and of the archive, packed and unpacked; these have 0.5 to 1.3 MB.
_LARGEST = 2**24
_ARCHIVE = "rt-polaritydata.tar.gz"


def rt_polarity() -> SequenceData:
    """Sentences of film reviews, half negative and half positive: 9,596 to train on and 1,066 to test on.

    The files ``rt-polarity.neg`` and ``rt-polarity.pos`` are taken from ``$NORMWISE_DATA_DIR/rt-polarity``, else from
    the cache, which is the folder ``rt-polarity`` in ``$NORMWISE_CACHE_DIR`` or in the user's cache folder, else
    downloaded into the cache (0.5 MB). Their content is compared with its known SHA-256 every time. A tenth of each
    class is for the test, the same in every call; the data have no split of their own. By B. Pang and L. Lee, ACL 2005,
    https://www.cs.cornell.edu/people/pabo/movie-review-data/ .

    Raises:
        DataError: a file is damaged or another, or can't be downloaded.
    """
    return rt_polarity_from(_ADDRESS, _SHA256)


def rt_polarity_from(address: str, sha256: Mapping[str, str], *, timeout: float = TIMEOUT) -> SequenceData:
    """As :func:`rt_polarity`, but downloaded from ``address`` and compared with the digests ``sha256``."""
    texts = [
        Text(line, _CLASSES[name])
        for name, content in _obtain(address, sha256, timeout).items()
        for line in content.decode("windows-1252").split("\n")
        if line.strip()
    ]
    return text_data("rt-polarity", texts)


def _obtain(address: str, sha256: Mapping[str, str], timeout: float) -> dict[str, bytes]:
    for folder in folders("rt-polarity"):
        if all(is_there(folder / name) for name in sha256):
            found = {name: read_whole(folder / name, _LARGEST) for name in sha256}
            for name, content in found.items():
                if (got := hashlib.sha256(content).hexdigest()) != sha256[name]:
                    raise DataError(
                        f"{folder / name}: the content is not rt-polarity's: its SHA-256 is {got}, expected "
                        f"{sha256[name]}; delete it and run again"
                    )
            return found
        if is_there(archive := folder / _ARCHIVE):
            content = read_whole(archive, _LARGEST)
            try:
                return _members(content, sha256)
            except _BadArchive as error:
                raise DataError(f"{archive}: {error}; delete it and run again") from error
    return _download(address, sha256, timeout)


class _BadArchive(Exception):
    """Return why an archive can't be read."""


def _members(content: bytes, sha256: Mapping[str, str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        if not is_gzipped(packed := io.BytesIO(content)):
            raise _BadArchive("not a gzip file")
        inside = bytes(read_up_to(unpacked(packed), _LARGEST + 1))
        if len(inside) > _LARGEST:
            raise _BadArchive(f"the archive unpacks to more than {_LARGEST:,} bytes")
        with tarfile.open(fileobj=io.BytesIO(inside), mode="r:") as file:
            for member in file:
                name = Path(member.name).name
                if name in sha256 and member.isfile() and (opened := file.extractfile(member)) is not None:
                    found[name] = opened.read()
    except _BadArchive:
        raise
    # An altered archive can hold any numbers, names and links, for which tarfile raises many types.
    except Exception as error:
        raise _BadArchive(str(error) or type(error).__name__) from error
    for name, expected in sha256.items():
        if name not in found:
            raise _BadArchive(f"the archive has no {name}")
        if (got := hashlib.sha256(found[name]).hexdigest()) != expected:
            raise _BadArchive(f"{name} has SHA-256 {got}, expected {expected}")
    return {name: found[name] for name in sha256}


def _download(address: str, sha256: Mapping[str, str], timeout: float) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        download(
            address,
            cache("rt-polarity") / _ARCHIVE,
            lambda content: found.update(_members(content, sha256)),
            timeout,
        )
    except (OSError, _BadArchive) as error:
        raise DataError(
            f"rt-polarity could not be downloaded from {address}. Try again, or put {' and '.join(sha256)} into "
            f"{places('rt-polarity')}. What went wrong: {error}"
        ) from error
    return found
