"""``normwise train --framework keras`` and what reads its runs."""

import sys
from collections.abc import Callable
from pathlib import Path

import keras
import pytest
from PIL import Image

from normwise.cli import main
from normwise.data import load_data
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
    # These take networks in torch.
    assert "normwise evaluate" not in said
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
