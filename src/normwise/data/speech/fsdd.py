"""The Free Spoken Digit Dataset: 3,000 recordings of ten digits by six speakers, found here or downloaded."""

import io
import zipfile
from functools import partial
from pathlib import Path

from normwise.data.files.known_files import TIMEOUT, ArchiveError, KnownFiles, Together
from normwise.data.files.user_file import entries, read_user_file
from normwise.data.options import SpeechOptions
from normwise.data.sequences.sequence_data import SequenceData
from normwise.data.speech.speech_data import AudioClip, speech_data
from normwise.data.speech.speech_features import check_rate
from normwise.data.speech.wav import parse_wav
from normwise.files import is_folder, is_there

_COMMIT = "26eb9aaf76e81b692f806f9140c2d2777410d7a1"
_ADDRESS = f"https://github.com/Jakobovski/free-spoken-digit-dataset/archive/{_COMMIT}.zip"
#: Of the 3,000 names and contents, in the order of the names: archives of the same content differ.
_SHA256 = "8fed8b0b058a7efa7544bbb3e8e98607ecdcbd47a2f0ea31139cab18a6b679c9"
#: Bytes of one recording, and of the archive, packed and unpacked. FSDD's have 37 kB and 24 MB at most.
_LARGEST_RECORDING, _LARGEST_ARCHIVE = 2**20, 2**27
_ARCHIVE = "free-spoken-digit-dataset.zip"
#: Recordings of a speaker and digit with these numbers are the test set, as its authors have it.
_TEST = range(5)


def fsdd(options: SpeechOptions | None = None) -> SequenceData:
    """Return spoken digits, 8 kHz, 0.14 to 2.28 seconds, as frames of 40 features.

    They are taken from ``$NORMWISE_DATA_DIR/fsdd``, else from the cache, which is the folder ``fsdd`` in
    ``$NORMWISE_CACHE_DIR`` or in the user's cache folder, else downloaded into the cache (16 MB): the archive, or what
    is in it under ``recordings/``. The content is compared with its known SHA-256 every time. By Z. Jackson and others,
    https://github.com/Jakobovski/free-spoken-digit-dataset, CC BY-SA 4.0.

    Recordings 0 to 4 of each speaker and digit are the test set, as its authors have it, 300, and 2,700 are trained on;
    in a split by speaker all 500 of one speaker are the test set.

    Raises:
        ArgumentError: there is no such rate.
        DataError: the files are damaged or others, or can't be downloaded; or there is no such split or speaker.
    """
    return fsdd_from(_ADDRESS, _SHA256, options)


def fsdd_from(
    address: str, sha256: str, options: SpeechOptions | None = None, *, timeout: float = TIMEOUT
) -> SequenceData:
    """Do as :func:`fsdd`, but download from ``address`` and compare with the digest ``sha256``."""
    options = options or SpeechOptions()
    check_rate(options.rate)
    known = KnownFiles(
        name="fsdd",
        title="FSDD",
        address=address,
        archive=_ARCHIVE,
        digests=Together(sha256, "recordings"),
        members=_members,
        unpacked=_unpacked,
        read=partial(read_user_file, largest=_LARGEST_RECORDING),
        wanted=_ARCHIVE,
        largest=_LARGEST_ARCHIVE,
        timeout=timeout,
    )
    clips: list[AudioClip] = []
    for name, content in sorted(known.contents().items()):
        wave, rate = parse_wav(content, name)
        digit, speaker, number = Path(name).stem.split("_")
        part = "test" if int(number) in _TEST else "train"
        clips.append(AudioClip(name, digit, speaker, part, wave, rate))
    return speech_data("fsdd", clips, options)


def _unpacked(folder: Path) -> dict[str, Path] | None:
    # The archive goes before what somebody may have unpacked only half.
    if is_there(folder / _ARCHIVE) or not is_folder(folder / "recordings"):
        return None
    return {path.name: path for path in entries(folder / "recordings") if path.suffix == ".wav"}


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
                    raise zipfile.BadZipFile(f"it unpacks to more than {_LARGEST_ARCHIVE:,} bytes")
            return found
    # An altered archive can claim to be encrypted, to be compressed by anything, or to hold other sizes.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ArchiveError(f"the zip archive is corrupt or cut short ({reason})") from error


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        content = file.read(_LARGEST_RECORDING + 1)
    if len(content) > _LARGEST_RECORDING:
        raise zipfile.BadZipFile(f"{name} has more than {_LARGEST_RECORDING:,} bytes")
    return content
