"""The sentence polarity data set of Pang and Lee: 10,662 sentences of film reviews, found here or downloaded."""

import io
import tarfile
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

from normwise.data.files.compressed import is_gzipped, read_up_to, unpacked
from normwise.data.files.known_files import TIMEOUT, ArchiveError, KnownFiles
from normwise.data.files.user_file import read_user_file
from normwise.data.options import TextOptions
from normwise.data.sequences.sequence_data import SequenceData
from normwise.data.text.text_data import Text, text_data
from normwise.files import is_there

_ADDRESS = "https://www.cs.cornell.edu/people/pabo/movie-review-data/rt-polaritydata.tar.gz"
_SHA256 = {
    "rt-polarity.neg": "4ace77d558c3714723843f1d65b60c01e3417b208180f0728808d76ad0eeeaca",
    "rt-polarity.pos": "2da124ec187a9d5a29c9f04e91c540e02baed5af8868f550a26bd6fd4dbf8bf0",
}
_CLASSES = {"rt-polarity.neg": "negative", "rt-polarity.pos": "positive"}
#: Bytes of each file and of the archive, packed and unpacked; these have 0.5 to 1.3 MB.
_LARGEST = 2**24
_ARCHIVE = "rt-polaritydata.tar.gz"


def rt_polarity(options: TextOptions | None = None) -> SequenceData:
    """Return sentences of film reviews, half negative and half positive: 9,596 to train on and 1,066 to test on.

    The files ``rt-polarity.neg`` and ``rt-polarity.pos`` are taken from ``$NORMWISE_DATA_DIR/rt-polarity``, else from
    the cache, which is the folder ``rt-polarity`` in ``$NORMWISE_CACHE_DIR`` or in the user's cache folder, else
    downloaded into the cache (0.5 MB). Their content is compared with its known SHA-256 every time. A tenth of each
    class is for the test, the same in every call; the data have no split of their own. By B. Pang and L. Lee, ACL 2005,
    https://www.cs.cornell.edu/people/pabo/movie-review-data/ .

    Raises:
        DataError: a file is damaged or another, or can't be downloaded.
    """
    return rt_polarity_from(_ADDRESS, _SHA256, options)


def rt_polarity_from(
    address: str, sha256: Mapping[str, str], options: TextOptions | None = None, *, timeout: float = TIMEOUT
) -> SequenceData:
    """Do as :func:`rt_polarity`, but download from ``address`` and compare with the digests ``sha256``."""
    known = KnownFiles(
        name="rt-polarity",
        title="rt-polarity",
        address=address,
        archive=_ARCHIVE,
        digests=sha256,
        members=partial(_members, sha256),
        unpacked=partial(_unpacked, sha256),
        read=partial(read_user_file, largest=_LARGEST),
        wanted=" and ".join(sha256),
        largest=_LARGEST,
        timeout=timeout,
    )
    contents = known.contents()
    texts = [
        Text(line, _CLASSES[name])
        for name in sha256
        for line in contents[name].decode("windows-1252").split("\n")
        if line.strip()
    ]
    return text_data("rt-polarity", texts, options)


def _unpacked(names: Collection[str], folder: Path) -> dict[str, Path] | None:
    paths = {name: folder / name for name in names}
    return paths if all(is_there(path) for path in paths.values()) else None


def _members(names: Collection[str], content: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        if not is_gzipped(packed := io.BytesIO(content)):
            raise ArchiveError("not a gzip file")
        inside = bytes(read_up_to(unpacked(packed), _LARGEST + 1))
        if len(inside) > _LARGEST:
            raise ArchiveError(f"the archive unpacks to more than {_LARGEST:,} bytes")
        with tarfile.open(fileobj=io.BytesIO(inside), mode="r:") as file:
            for member in file:
                name = Path(member.name).name
                if name in names and member.isfile() and (opened := file.extractfile(member)) is not None:
                    found[name] = opened.read()
    except ArchiveError:
        raise
    # An altered archive can hold any numbers, names and links, for which tarfile raises many types.
    except Exception as error:
        raise ArchiveError(str(error) or type(error).__name__) from error
    return found
