"""A folder of WAV files, sorted into a subfolder for each class, or named by what is said in them."""

from pathlib import Path

from normwise.data.sequence_data import SequenceData
from normwise.data.speech_data import Part, Recording, speech_data
from normwise.data.wav import read_wav
from normwise.errors import DataError

_FORMS = "train/<class>/*.wav and test/<class>/*.wav, <class>/*.wav, or <label>_….wav"


def wav_folder(
    directory: str | Path, *, split: str = "random", speaker: str | None = None, rate: int = 8000
) -> SequenceData:
    """The recordings in a folder, as frames of 40 features.

    The files lie in ``DIR/train/<class>/`` and ``DIR/test/<class>/``, or in ``DIR/<class>/``, or they are called
    ``DIR/<label>_….wav``. Without ``train`` and ``test`` a tenth of each class is for the test, the same in every call.
    Who speaks is, for a split by speaker, what stands before the first ``_`` of the name, and in the last form between
    the first and the second: ``7_theo_3.wav``. Whatever has a name that starts with a dot is passed over.

    Args:
        directory: The folder.
        split, speaker, rate: See :func:`normwise.data.fsdd`.

    Raises:
        DataError: the folder has none of these forms, a class has no recordings or is in ``test`` only, a file is
            damaged, empty or misnamed; names the file or folder.
    """
    directory = Path(directory)
    if (directory / "train").is_dir() or (directory / "test").is_dir():
        recordings = _of_part(directory, "train") + _of_part(directory, "test")
        known = {recording.label for recording in recordings if recording.part == "train"}
        for recording in recordings:
            if recording.label not in known:
                raise DataError(
                    f"{directory / 'test' / recording.label}: the class is not in train/, which has "
                    f"{', '.join(sorted(known))}"
                )
    elif _subfolders(directory):
        recordings = _of_classes(directory, None)
    else:
        recordings = [_named(path) for path in _wav_files(directory)]
    if not recordings:
        raise DataError(f"{directory}: has no WAV files; expected {_FORMS}")
    return speech_data(directory.resolve().name, recordings, split=split, speaker=speaker, rate=rate)


def _of_part(directory: Path, part: Part) -> list[Recording]:
    if not (directory / part).is_dir():
        raise DataError(f"{directory}: has no folder {part}/; expected {_FORMS}")
    return _of_classes(directory / part, part)


def _of_classes(directory: Path, part: Part | None) -> list[Recording]:
    folders = _subfolders(directory)
    if not folders:
        raise DataError(f"{directory}: has no class folders; put the recordings into {directory}/<class>/")
    recordings: list[Recording] = []
    for folder in folders:
        paths = _wav_files(folder)
        if not paths:
            raise DataError(f"{folder}: has no WAV files; add some or remove the folder")
        for path in paths:
            speaker = path.stem.split("_")[0] if "_" in path.stem else None
            recordings.append(Recording(folder.name, speaker, part, *read_wav(path)))
    return recordings


def _named(path: Path) -> Recording:
    label, *rest = path.stem.split("_")
    if not label or not rest:
        raise DataError(f"{path}: its name has no label; expected <label>_….wav, or a folder for each class")
    # Of 7_theo.wav theo may be anybody's name or no name at all: he is one only where a number follows.
    return Recording(label, rest[0] if len(rest) > 1 else None, None, *read_wav(path))


def _subfolders(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.is_dir() and not path.name.startswith("."))


def _wav_files(directory: Path) -> list[Path]:
    return sorted(
        path
        for path in directory.iterdir()
        if path.suffix.lower() == ".wav" and not path.name.startswith(".")
    )
