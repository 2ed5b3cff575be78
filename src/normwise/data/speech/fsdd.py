"""The Free Spoken Digit Dataset: 3,000 recordings of ten digits by six speakers, found here or downloaded."""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from normwise.data.download import TIMEOUT, cache, download, folders, places
from normwise.data.files.user_file import entries, is_folder, is_there, read_whole
from normwise.data.sequences.sequence_data import SequenceData
from normwise.data.speech.speech_data import AudioClip, speech_data
from normwise.data.speech.speech_features import check_rate
from normwise.data.speech.wav import parse_wav
from normwise.errors import DataError

_COMMIT = "26eb9aaf76e81b692f806f9140c2d2777410d7a1"
_ADDRESS = f"https://github.com/Jakobovski/free-spoken-digit-dataset/archive/{_COMMIT}.zip"
#: Of the 3,000 names and contents, in the order of the names: archives of the same content differ.
_SHA256 = "8fed8b0b058a7efa7544bbb3e8e98607ecdcbd47a2f0ea31139cab18a6b679c9"
#: Bytes of one recording, and of the archive, packed and unpacked. FSDD's have 37 kB and 24 MB at most.
_LARGEST_RECORDING, _LARGEST_ARCHIVE = 2**20, 2**27
_ARCHIVE = "free-spoken-digit-dataset.zip"
#: Recordings of a speaker and digit with these numbers are the test set, as its authors have it.
_TEST = range(5)
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
RATE = 8000


def fsdd(*, split: str = "random", speaker: str | None = None, rate: int = RATE) -> SequenceData:
    """Spoken digits, 8 kHz, 0.14 to 2.28 seconds, as frames of 40 features.

    They are taken from ``$NORMWISE_DATA_DIR/fsdd``, else from the cache, which is the folder ``fsdd`` in
    ``$NORMWISE_CACHE_DIR`` or in the user's cache folder, else downloaded into the cache (16 MB): the archive, or what
    is in it under ``recordings/``. The content is compared with its known SHA-256 every time. By Z. Jackson and others,
    https://github.com/Jakobovski/free-spoken-digit-dataset, CC BY-SA 4.0.

    Args:
        split: "random": recordings 0 to 4 of each speaker and digit are the test set, as its authors have it, 300, and
            2,700 are trained on. "speaker": all 500 of one speaker are the test set, who is never heard in training.
        speaker: Which one, with ``split="speaker"``; the last by the alphabet if not given.
        rate: Samples a second that the recordings are brought to, 1,000 to 384,000.

    Raises:
        ArgumentError: there is no such rate.
        DataError: the files are damaged or others, or can't be downloaded; or there is no such split or speaker.
    """
    return fsdd_from(_ADDRESS, _SHA256, split=split, speaker=speaker, rate=rate)


def fsdd_from(
    address: str,
    sha256: str,
    *,
    split: str = "random",
    speaker: str | None = None,
    rate: int = RATE,
    timeout: float = TIMEOUT,
) -> SequenceData:
    """As :func:`fsdd`, but downloaded from ``address`` and compared with the digest ``sha256``."""
    check_rate(rate)
    recordings: list[AudioClip] = []
    for name, content in sorted(_obtain(address, sha256, timeout).items()):
        wave, own_rate = parse_wav(content, name)
        digit, who, number = Path(name).stem.split("_")
        part = "test" if int(number) in _TEST else "train"
        recordings.append(AudioClip(name, digit, who, part, wave, own_rate))
    return speech_data("fsdd", recordings, split=split, speaker=speaker, rate=rate)


def _obtain(address: str, sha256: str, timeout: float) -> Mapping[str, bytes]:
    for folder in folders("fsdd"):
        archive, unpacked = folder / _ARCHIVE, folder / "recordings"
        if is_there(archive):
            return _checked(_unpacked(archive), sha256, archive)
        if is_folder(unpacked):
            paths = [path for path in entries(unpacked) if path.suffix == ".wav"]
            found = {path.name: read_whole(path, _LARGEST_RECORDING) for path in paths}
            return _checked(found, sha256, unpacked)
    return _download(address, sha256, timeout)


def _unpacked(archive: Path) -> dict[str, bytes]:
    content = read_whole(archive, _LARGEST_ARCHIVE)
    try:
        return _members(content)
    except _BadArchive as error:
        raise DataError(
            f"{archive}: the zip archive is corrupt or cut short ({error}); delete it and run again"
        ) from error


class _BadArchive(Exception):
    """Return why an archive can't be read."""


def _members(content: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            # What the archive calls its root changes from one to the next.
            wanted = [
                name for name in file.namelist() if "/recordings/" in f"/{name}" and name.endswith(".wav")
            ]
            found: dict[str, bytes] = {}
            left = _LARGEST_ARCHIVE
            for name in wanted:
                found[Path(name).name] = content = _member(file, name)
                left -= len(content)
                if left < 0:
                    raise _BadArchive(f"it unpacks to more than {_LARGEST_ARCHIVE:,} bytes")
            return found
    except _BadArchive:
        raise
    # An altered archive can claim to be encrypted, to be compressed by anything, or to hold other sizes.
    except Exception as error:
        raise _BadArchive(str(error) or type(error).__name__) from error


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        content = file.read(_LARGEST_RECORDING + 1)
    if len(content) > _LARGEST_RECORDING:
        raise _BadArchive(f"{name} has more than {_LARGEST_RECORDING:,} bytes")
    return content


def _checked(found: Mapping[str, bytes], sha256: str, where: Path) -> Mapping[str, bytes]:
    if (got := _digest(found)) != sha256:
        raise DataError(
            f"{where}: the content is not FSDD's: {len(found)} recordings with SHA-256 {got}, expected {sha256}; "
            "delete it and run again"
        )
    return found


def _digest(found: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(found.items()):
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _download(address: str, sha256: str, timeout: float) -> Mapping[str, bytes]:
    target = cache("fsdd") / _ARCHIVE
    found: dict[str, bytes] = {}

    def check(content: bytes) -> None:
        found.update(_members(content))
        if (got := _digest(found)) != sha256:
            raise OSError(f"the content has SHA-256 {got}, expected {sha256}")

    try:
        download(address, target, check, timeout)
    except (OSError, _BadArchive) as error:
        raise DataError(
            f"FSDD could not be downloaded from {address}. Try again, or put {_ARCHIVE} into {places('fsdd')}. "
            f"What went wrong: {error}"
        ) from error
    return found
