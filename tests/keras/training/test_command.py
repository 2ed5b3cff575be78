"""``normwise train --framework keras`` and what reads its runs."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import pytest
from PIL import Image

from normwise.cli import main
from normwise.data import load_data
from normwise.records import Evaluation, from_plain
from normwise.training import RunFolder
from tests.support.keras.marks import not_on_jax

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def normwise(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command in this process, and returns its exit code, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["normwise", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


_TRAIN = ("train", "image", "--framework", "keras", "--model", "dense_bn", "--epochs", "1")


def test_a_run_is_trained_reported_gone_on_with_and_predicts(normwise: Command, tmp_path: Path) -> None:
    folder = str(tmp_path / "run")
    code, said, _ = normwise(*_TRAIN, "--out", folder, "-O", "momentum=0.8")
    assert code == 0
    assert "test accuracy, running statistics" in said
    assert "test accuracy, batch statistics" in said
    assert f"normwise evaluate {folder}" in said
    # That takes networks in torch.
    assert "normwise calibrate" not in said
    _, report, _ = normwise("report", folder)
    assert "Framework            keras" in report
    assert f", {keras.backend.backend()} " in report
    code, again, _ = normwise("train", "image", "--resume", "--out", folder)
    assert (code, again) == (0, said)
    image = tmp_path / "digit.png"
    Image.fromarray((load_data("image", "digits").test_images[0, 0].numpy() * 255).astype("uint8")).save(
        image
    )
    code, predicted, _ = normwise("predict", folder, str(image))
    assert code == 0
    assert predicted.strip().endswith(str(image))


def test_a_run_is_evaluated_as_at_its_end(normwise: Command, tmp_path: Path) -> None:
    folder = str(tmp_path / "run")
    _, summary, _ = normwise(*_TRAIN, "--out", folder, "--optimizer", "sgd", "--momentum", "0.5")
    result = RunFolder(tmp_path / "run").read().result
    assert result is not None
    code, found, _ = normwise("evaluate", folder, "--json")
    record = from_plain(Evaluation, json.loads(found))
    assert (code, record.samples, record.batch_size) == (0, 500, 128)
    assert (record.accuracy, record.batch_accuracy) == (
        result.test_accuracy,
        result.batch_statistics_accuracy,
    )
    # One epoch is too few for a momentum of 0.99.
    _, lines, _ = normwise("evaluate", folder)
    assert lines.splitlines()[1].startswith("running statistics")
    for said in (lines, summary):
        assert (
            "moving statistics lag behind the weights: train for more steps, or with a lower momentum" in said
        )
    assert normwise("evaluate", folder, "--data", "digits")[1] == lines
    for options, error in (
        (("--model", "net.py:net"), "--model is for checkpoints"),
        (("--weights", "ema"), "--weights is for checkpoints"),
        (("--data", "file.py:loader"), "is no data set that is known by name and no folder"),
        (("--data", "tones"), "--data tones has speech of shape"),
    ):
        code, _, said = normwise("evaluate", folder, *options)
        assert code == 2
        assert error in said


@not_on_jax
def test_the_folder_says_the_framework_where_none_is_named(
    normwise: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, _ = normwise(*_TRAIN, "--norm", "none")
    assert code == 0
    assert RunFolder(tmp_path / "runs" / "dense_bn-digits-none-keras-epochs1-seed0").finished


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--threads", "1"), "threads are for runs in torch"),
        (("--norm", "instance"), "unknown norm 'instance'; networks in Keras can have batch"),
        (("--statistics", "local"), "statistics 'local' are for several processes"),
        (("--model", "resnet", "--data", "nowhere"), "unknown model 'resnet' for image in Keras; known are"),
        (("--framework", "jax"), "'jax' is not one of 'torch', 'keras'"),
    ],
)
def test_what_keras_can_not_do_is_an_error(
    options: tuple[str, ...], said: str, normwise: Command, tmp_path: Path
) -> None:
    code, _, error = normwise(*_TRAIN, "--out", str(tmp_path / "run"), *options)
    assert code == 2
    assert said in " ".join(error.replace("│", " ").split())
    assert not (tmp_path / "run").exists()
