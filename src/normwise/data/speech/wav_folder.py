"""A folder of WAV files, sorted into a subfolder for each class, or named by what is said in them."""

from pathlib import Path

from normwise.data.files.class_files import class_files, class_folders
from normwise.data.options import SpeechOptions
from normwise.data.protocols import DataPart
from normwise.data.sequences.sequence_data import SequenceData
from normwise.data.speech.speech_data import AudioClip, speech_data
from normwise.data.speech.speech_features import check_rate
from normwise.data.speech.wav import read_wav
from normwise.errors import DataError
from normwise.files import is_folder

_FORMS = "train/<class>/*.wav and test/<class>/*.wav, <class>/*.wav, or <label>_….wav"
_SUFFIXES = (".wav", ".wave")


def wav_folder(directory: str | Path, options: SpeechOptions | None = None) -> SequenceData:
    """Read the recordings in a folder, as frames of 40 features.

    The files lie in ``DIR/train/<class>/`` and ``DIR/test/<class>/``, or in ``DIR/<class>/``, or they are called
    ``DIR/<label>_….wav``. Without ``train`` and ``test`` a tenth of each class is for the test, the same in every call.
    Who speaks is, for a split by speaker, what stands before the first ``_`` of the name, and in the last form between
    the first and the second: ``7_theo_3.wav``. Hidden files, notes and transcripts are passed over, see
    :func:`class_files`; any other file is an error.

    Args:
        directory: Folder of the WAV files.
        options: Split of the data and sampling rate.

    Raises:
        ArgumentError: the rate is none that recordings can be brought to.
        DataError: the folder has none of these forms, a class has no recordings or is in ``test`` only, a file is
            damaged, empty, misnamed or of another kind; names the file or folder.
    """
    options = options or SpeechOptions()
    check_rate(options.rate)
    directory = Path(directory)
    if is_folder(directory / "train") or is_folder(directory / "test"):
        recordings = _of_part(directory, "train") + _of_part(directory, "test")
        known = {recording.label for recording in recordings if recording.part == "train"}
        for recording in recordings:
            if recording.label not in known:
                raise DataError(
                    f"{directory / 'test' / recording.label}: the class is not in train/, which has "
                    f"{', '.join(sorted(known))}"
                )
    elif class_folders(directory, _SUFFIXES, "recording"):
        recordings = _of_classes(directory, None)
    else:
        recordings = [_named(path) for path in class_files(directory, _SUFFIXES, "recording")]
    if not recordings:
        raise DataError(f"{directory}: has no WAV files; expected {_FORMS}")
    return speech_data(directory.resolve().name, recordings, options)


def _of_part(directory: Path, part: DataPart) -> list[AudioClip]:
    if not is_folder(directory / part):
        raise DataError(f"{directory}: has no folder {part}/; expected {_FORMS}")
    return _of_classes(directory / part, part)


def _of_classes(directory: Path, part: DataPart | None) -> list[AudioClip]:
    folders = class_folders(directory, _SUFFIXES, "recording")
    if not folders:
        raise DataError(f"{directory}: has no class folders; put the recordings into {directory}/<class>/")
    recordings: list[AudioClip] = []
    for folder in folders:
        paths = class_files(folder, _SUFFIXES, "recording")
        if not paths:
            raise DataError(f"{folder}: has no WAV files; add some or remove the folder")
        for path in paths:
            speaker = path.stem.split("_")[0] if "_" in path.stem else None
            recordings.append(AudioClip(str(path), folder.name, speaker, part, *read_wav(path)))
    return recordings


def _named(path: Path) -> AudioClip:
    label, *rest = path.stem.split("_")
    if not label or not rest:
        raise DataError(f"{path}: its name has no label; expected <label>_….wav, or a folder for each class")
    # Of 7_theo.wav theo may be anybody's name or no name at all: he is one only where a number follows.
    return AudioClip(str(path), label, rest[0] if len(rest) > 1 else None, None, *read_wav(path))
