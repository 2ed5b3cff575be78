"""``normwise train speech``, ``train text`` and ``predict`` as a user meets them."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import wavfile

Command = Callable[..., Any]
_SPEECH = ("train", "speech", "--data", "tones", "--epochs", "1", "--threads", "1")
_TEXT = ("train", "text", "--data", "phrases", "--epochs", "1", "--option", "width=8", "--threads", "1")


def _save(path: Path, pitch: float = 300.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = np.sin(2 * np.pi * pitch * np.arange(1600) / 8000)
    wavfile.write(path, 8000, (tone * 2**14).astype(np.int16))


def test_speech_is_trained_on_and_new_recordings_are_classified(normwise: Command, folder: Path) -> None:
    done = normwise(*_SPEECH, "--batch-size", "100", "--split", "speaker")
    assert done.code == 0
    assert done.err.startswith("epoch 1/1, training loss ")
    # A note that running statistics lag may stand between them.
    first, second, *_, third, predict, _, _ = done.out.splitlines()
    assert first.startswith("test accuracy, running statistics")
    assert second.startswith("test accuracy, batch statistics")
    run = "runs/speech_lstm-tones-speaker-batch-epochs1-batch100-seed0"
    assert third.split() == ["run", run]
    assert predict.split(maxsplit=1) == ["next", f"normwise predict {run} RECORDING.wav"]
    _save(folder / "a.wav")
    said = normwise("predict", run, "a.wav")
    assert said.code == 0
    label, probability, name = said.out.split()
    assert label in "0123456789"
    assert 0.1 <= float(probability.rstrip("%")) / 100 <= 1
    assert name == "a.wav"


def test_a_folder_of_recordings_is_trained_on(normwise: Command, folder: Path) -> None:
    for label, pitch in (("low", 200.0), ("high", 1500.0)):
        for number in range(10):
            _save(folder / f"sounds/{label}_{number}.wav", pitch)
    done = normwise(
        "train",
        "speech",
        "--data",
        "sounds",
        "--epochs",
        "1",
        "--batch-size",
        "6",
        "--norm",
        "layer",
        "--rate",
        "4000",
    )
    assert done.code == 0
    run = "runs/speech_lstm-sounds-layer-epochs1-batch6-rate4000-seed0"
    assert done.out.split()[-1] == run
    assert normwise("predict", run, "sounds/low_3.wav").code == 0


def test_texts_are_trained_on_and_new_ones_are_classified(
    normwise: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert normwise(*_TEXT, "--out", "run").code == 0
    said = normwise("predict", "run", "the film is good", "never dull", "--json")
    records = json.loads(said.out)
    assert [record["input"] for record in records] == ["the film is good", "never dull"]
    assert set(records[0]["probabilities"]) == {"negative", "positive"}
    monkeypatch.setattr(sys, "stdin", io.StringIO("never dull\n\nthe film is good\n"))
    lines = normwise("predict", "run", "-").out.splitlines()
    assert [line.split("  ")[-1] for line in lines] == ["never dull", "the film is good"]
    assert lines[0].split()[0] == records[1]["label"]
    assert f"{records[1]['probability']:.2%}" in lines[0]


def test_a_run_on_sequences_is_calibrated_and_shown(normwise: Command, folder: Path) -> None:
    normwise(*_TEXT, "--out", "run")
    calibrated = normwise("calibrate", "run", "-o", "out.safetensors")
    assert calibrated.code == 0
    assert "first_norm.norm (BatchNorm1d): bad, off by " in calibrated.out
    assert "sentiment_bilstm on phrases, norm batch, seed 0" in normwise("report", "run").out
    other = normwise("calibrate", "run", "--data", "rt-polarity", "-o", "other.safetensors")
    assert other.code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*_SPEECH, "--speaker", "bass"), "--speaker is for --split speaker"),
        (
            (*_SPEECH, "--split", "speaker", "--speaker", "max"),
            "tones: has no speaker 'max'; it has alto, bass",
        ),
        ((*_SPEECH, "--norm", "group"), "speech_lstm can't have the norm 'group'"),
        ((*_SPEECH, "--model", "mnist_cnn"), "unknown model 'mnist_cnn' for speech; known are speech_lstm"),
        ((*_SPEECH, "--data", "nothing"), "nothing: is neither a folder nor a known set of recordings"),
        (
            (*_TEXT, "--data", "nothing"),
            "nothing: is neither a folder nor a .csv file nor a known set of texts",
        ),
        ((*_TEXT, "--vectors", "none.txt"), "none.txt: cannot be read"),
        (
            (*_TEXT, "--batch-size", "5000"),
            "--batch-size 5000 is more than the 1500 training samples of phrases",
        ),
        (("predict", "nowhere", "a text"), "nowhere holds no run"),
        (("predict", "nowhere", " "), "input 1 is empty; expected a file or a text"),
    ],
)
def test_wrong_use_is_one_error_and_exit_code_2(
    normwise: Command, arguments: tuple[str, ...], message: str
) -> None:
    done = normwise(*arguments)
    assert done.code == 2
    assert done.err.startswith(f"error: {message}")
    assert not Path("runs").exists()
