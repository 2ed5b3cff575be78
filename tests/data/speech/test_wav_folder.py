from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from normwise.data import SpeechOptions, load_data, wav_folder
from normwise.data.speech.speech_data import features_of_file
from normwise.errors import DataError

Save = Callable[..., None]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Saves a tone under a name in the folder."""

    def save(name: str, rate: int = 8000, pitch: float = 300.0) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        tone = np.sin(2 * np.pi * pitch * np.arange(rate // 10) / rate)
        wavfile.write(path, rate, (tone * 2**14).astype(np.int16))

    return save


def _labels(samples: object) -> list[int]:
    return sorted(samples.labels.tolist())  # pyright: ignore[reportAttributeAccessIssue]


def test_train_and_test_by_class_folder(save: Save, tmp_path: Path) -> None:
    for name in ("train/no/a.wav", "train/no/b.WAV", "train/yes/a.wav", "test/no/a.wav", "test/yes/c.wav"):
        save(name)
    (tmp_path / "train/no/.hidden.wav").write_bytes(b"")
    (tmp_path / "train/no/notes.txt").write_text("no recording")
    data = wav_folder(tmp_path)
    assert data.input_spec.classes == ("no", "yes")
    assert (_labels(data.training), _labels(data.test)) == ([0, 0, 1], [0, 1])
    assert data.name == tmp_path.name


@pytest.mark.parametrize("form", ["{label}/{number}.wav", "{label}_{number}.wav"])
def test_without_parts_a_tenth_of_each_class_is_for_the_test(save: Save, tmp_path: Path, form: str) -> None:
    for label in ("no", "yes"):
        for number in range(20):
            save(form.format(label=label, number=number), pitch=300 + 10 * number)
    data = wav_folder(tmp_path)
    assert (_labels(data.training), _labels(data.test)) == ([0] * 18 + [1] * 18, [0, 0, 1, 1])
    assert wav_folder(tmp_path).sha256 == data.sha256


def test_a_speaker_is_never_heard_in_training(save: Save, tmp_path: Path) -> None:
    for label in ("0", "1"):
        for speaker in ("ann", "bob", "eve"):
            for number in range(2):
                save(f"{label}_{speaker}_{number}.wav")
    assert len(wav_folder(tmp_path, SpeechOptions(split="speaker")).test) == 4
    data = wav_folder(tmp_path, SpeechOptions(split="speaker", speaker="bob"))
    assert (len(data.training), len(data.test)) == (8, 4)
    with pytest.raises(DataError, match=r"has no speaker 'max'; it has ann, bob, eve"):
        wav_folder(tmp_path, SpeechOptions(split="speaker", speaker="max"))
    with pytest.raises(DataError, match="speaker='bob' is for split=\"speaker\""):
        wav_folder(tmp_path, SpeechOptions(speaker="bob"))
    with pytest.raises(DataError, match="unknown split 'both'; known are random, speaker"):
        wav_folder(tmp_path, SpeechOptions(split="both"))


def test_names_without_speakers_cannot_be_split_by_them(save: Save, tmp_path: Path) -> None:
    for name in ("0_1.wav", "0_2.wav", "1_1.wav"):
        save(name)
    with pytest.raises(DataError, match="recordings are of none by name; a split by speaker needs two"):
        wav_folder(tmp_path, SpeechOptions(split="speaker"))


def test_recordings_of_any_rate_are_brought_to_one(save: Save, tmp_path: Path) -> None:
    save("a_1.wav", rate=44100)
    save("a_2.wav", rate=8000)
    save("b_1.wav", rate=16000)
    data = load_data("speech", str(tmp_path))
    assert set(data.training.lengths.tolist()) == {8}
    assert data.input_spec.rate == 8000
    assert load_data("speech", str(tmp_path), rate=16000).input_spec.rate == 16000


def test_one_recording_is_prepared_as_those_of_the_data_are(save: Save, tmp_path: Path) -> None:
    for label, pitch in (("a", 300.0), ("b", 500.0)):
        for number in range(2):
            save(f"{label}_{number}.wav", rate=16000, pitch=pitch)
    data = wav_folder(tmp_path)
    number = data.training.labels.tolist().index(0)
    assert torch.equal(features_of_file(tmp_path / "a_0.wav", 8000), data.training[number])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "has no WAV files; expected train/<class>/"),
        (["nolabel.wav"], r"nolabel\.wav: its name has no label; expected <label>_….wav"),
        (["_1.wav"], r"_1\.wav: its name has no label"),
        (["a_1.wav", "a_2.wav"], "all recordings are of the class 'a'; expected two classes at least"),
        (
            ["a_1.wav", "b_1.wav"],
            "too few recordings: none is left for the test; two of a class are the least",
        ),
        (["train/a/1.wav"], "has no folder test/"),
        (["train/a/1.wav", "test/b/1.wav"], r"test/b: the class is not in train/, which has a"),
        (["a/1.wav", "b/notes.txt"], r"b: has no WAV files; add some or remove the folder"),
    ],
)
def test_a_wrong_folder_is_one_error(save: Save, tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        save(name)
    with pytest.raises(DataError, match=message):
        wav_folder(tmp_path)


def test_a_damaged_file_is_named(save: Save, tmp_path: Path) -> None:
    save("a_1.wav")
    (tmp_path / "b_1.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match=r"b_1\.wav: is not a WAV file"):
        wav_folder(tmp_path)


def test_what_is_neither_a_folder_nor_known_is_one_error() -> None:
    with pytest.raises(DataError, match=r"nothing: is neither a folder nor a known set .*\(fsdd, tones\)"):
        load_data("speech", "nothing")
