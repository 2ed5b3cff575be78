"""``evaluate``, and what ``calibrate`` makes of a run: weights that know what network they are of."""

import json
from pathlib import Path

import pytest
import torch

from normwise.cli.output.training_summary import lag_hint
from normwise.records import Evaluation, from_plain
from normwise.training import RunFolder
from tests.cli.conftest import Command

_LAGGING = (
    *("--model", "dense_bn", "--norm", "batch:momentum=0.001", "--epochs", "3", "--threads", "1"),
    *("--optimizer", "sgd"),
)
_LABELLED = """
from normwise.data import digits
import torch

def loader():
    data = digits()
    return [(data.test_images[i:i + 100], data.test_labels[i:i + 100]) for i in range(0, 500, 100)]

def unlabelled():
    return [images for images, _ in loader()]
"""


@pytest.fixture
def run(normwise: Command, folder: Path) -> Path:
    """A run whose running statistics lag behind its weights."""
    assert normwise("train", "image", *_LAGGING, "--out", "run").code == 0
    return folder / "run"


def test_a_run_is_evaluated_as_at_its_end(normwise: Command, run: Path) -> None:
    result = RunFolder(run).read().result
    assert result is not None
    record = from_plain(Evaluation, json.loads(normwise("evaluate", "run", "--json").out))
    assert (record.accuracy, record.batch_accuracy) == (
        result.test_accuracy,
        result.batch_statistics_accuracy,
    )
    assert record.batch_size == 128


def test_running_statistics_that_lag_are_said_with_the_remedy(normwise: Command, run: Path) -> None:
    lines = normwise("evaluate", "run").out.splitlines()
    assert lines[0].split() == ["500", "samples", "loss", "accuracy"]
    assert [line.split("  ")[0] for line in lines[1:3]] == [
        "running statistics",
        "batch statistics, batches of 128",
    ]
    assert lines[3] == (
        "note: running statistics lag behind the weights: normwise calibrate run -o OUT.safetensors"
    )


def test_calibrated_weights_know_their_run(normwise: Command, run: Path) -> None:
    done = normwise("calibrate", "run", "-o", "good.safetensors")
    assert done.code == 0, done.err
    before = from_plain(Evaluation, json.loads(normwise("evaluate", "run", "--json").out))
    after = from_plain(Evaluation, json.loads(normwise("evaluate", "good.safetensors", "--json").out))
    assert after.accuracy > before.accuracy + 0.1
    assert f"test accuracy {before.accuracy:.2%} before, {after.accuracy:.2%} after" in done.out
    assert "note" not in normwise("evaluate", "good.safetensors").out
    assert normwise("fold", "good.safetensors", "-o", "folded.safetensors").code == 0


def test_the_doctors_fix_of_a_run_knows_it_too(normwise: Command, run: Path) -> None:
    done = normwise("doctor", "run", "--fix", "healed.safetensors")
    assert "written: healed.safetensors" in done.out
    before, after = (
        from_plain(Evaluation, json.loads(normwise("evaluate", target, "--json").out))
        for target in ("run", "healed.safetensors")
    )
    assert after.accuracy > before.accuracy + 0.1


def test_predict_takes_calibrated_weights(normwise: Command, run: Path) -> None:
    from PIL import Image

    from normwise.data import digits

    data = digits()
    pixels = (data.test_images[0, 0] * 255).round().byte().numpy()
    Image.fromarray(pixels).save("digit.png")
    normwise("calibrate", "run", "-o", "good.safetensors")
    assert normwise("predict", "good.safetensors", "digit.png").out.startswith(
        data.classes[int(data.test_labels[0])]
    )
    uncalibrated, calibrated = (
        json.loads(normwise("predict", path, "digit.png", "--json").out)
        for path in ("run", "good.safetensors")
    )
    assert uncalibrated != calibrated


def test_a_checkpoint_of_torch_is_told_its_run(normwise: Command, run: Path) -> None:
    done = normwise("calibrate", "run", "-o", "good.pt")
    assert "this one needs --model RUN" in done.out
    assert "name it by --model file.py:name, or --model RUN" in normwise("evaluate", "good.pt").err
    normwise("calibrate", "run", "-o", "good.safetensors")
    assert (
        normwise("evaluate", "good.pt", "--model", "run").out == normwise("evaluate", "good.safetensors").out
    )


def test_weights_that_say_nothing_of_a_run_are_no_run(normwise: Command, folder: Path) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(1)}, folder / "bare.safetensors")
    done = normwise("predict", "bare.safetensors", "x.png")
    assert done.code == 2
    assert done.err.startswith(
        "error: bare.safetensors does not say which run its weights belong to; normwise calib"
    )


@pytest.mark.parametrize("data", ["digits", "labelled.py:loader"])
def test_a_network_of_the_users_is_evaluated(normwise: Command, folder: Path, data: str) -> None:
    (folder / "labelled.py").write_text(_LABELLED)
    done = normwise("evaluate", "net.py:plain", "--data", data, "--json")
    assert done.code == 0, done.err
    record = from_plain(Evaluation, json.loads(done.out))
    assert (record.samples, record.batch_size) == (500, 100)
    assert record.batch_accuracy is not None


def test_the_remedy_names_network_and_data() -> None:
    assert lag_hint(0.5, 0.505, ["net"]) is None
    hint = lag_hint(0.5, 0.6, ["net.py:plain", "--data", "my data.py:loader"])
    assert hint is not None
    assert hint.endswith("normwise calibrate net.py:plain --data 'my data.py:loader' -o OUT.safetensors")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((), "error: --data is missing; expected file.py:name"),
        (("--data", "labelled.py:unlabelled"), "batch 0 (counted from 0) has no labels to compare with"),
    ],
)
def test_data_without_labels_are_refused(
    normwise: Command, folder: Path, data: tuple[str, ...], message: str
) -> None:
    (folder / "labelled.py").write_text(_LABELLED)
    done = normwise("evaluate", "net.py:plain", *data)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
