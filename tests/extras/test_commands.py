"""The command line without the extras: what works, and what says what to install."""

import json
from pathlib import Path

import numpy as np
import pytest

from normwise.records import to_json
from tests.extras.declared import PACKAGES
from tests.extras.hide_packages import run_without
from tests.support.records import study

_NET = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)).eval()

def loader():
    torch.manual_seed(1)
    return [torch.randn(16, 1, 8, 8) * 3 + 1 for _ in range(4)]
"""
_ON_DATA = ("net.py:net", "--data", "net.py:loader")
_TRAIN = ("train", "image", "--model", "dense_bn", "--epochs", "1", "--batch-size", "10", "--threads", "1")
#: Commands in their order, with their exit code and a part of what they print.
_WORK = {
    "--help": (0, "doctor"),
    "train image --help": (0, "digits"),
    "--version": (0, "normwise "),
    "doctor " + " ".join(_ON_DATA): (1, "BN202"),
    "doctor " + " ".join((*_ON_DATA, "--format", "sarif")): (1, '"2.1.0"'),
    "doctor " + " ".join((*_ON_DATA, "--fix", "healed.pt")): (0, "written: healed.pt"),
    "doctor healed.pt": (0, "healed.pt"),
    "calibrate " + " ".join((*_ON_DATA, "-o", "net.safetensors")): (0, "written: net.safetensors"),
    "fold " + " ".join((*_ON_DATA, "-o", "folded.pt")): (0, "1 of 1 folded"),
    "convert net.py:net --to group --groups 2 -o group.pt": (0, "written: group.pt"),
    "explain BN201": (0, "stale-statistics"),
    "explain fewer_steps": (0, "Would be false if"),
    " ".join((*_TRAIN, "--data", "idx", "--out", "run")): (0, "test accuracy"),
    "report run": (0, "dense_bn"),
    "report run --format json": (0, '"dense_bn"'),
    "calibrate run -o calibrated.safetensors": (0, "written: calibrated.safetensors"),
    "evaluate run": (0, "running statistics"),
    "evaluate calibrated.safetensors": (0, "running statistics"),
    "runs .": (0, "dense_bn"),
    "report study": (0, "claims and evidence"),
    "report study --format html": (0, "</html>"),
    "report study --format svg": (0, "</svg>"),
}
_STUDY = "which is not installed: pip install 'normwise[study]'\n"
_HTML = "error: a page with figures needs plotly, which is not installed: pip install 'normwise[html]'\n"
_ONNX = "which is not installed: pip install 'normwise[onnx]'\n"
_KERAS = (
    "error: this needs keras, which is not installed: pip install 'normwise[keras]', and one of its backends"
)
_SAY = {
    "doctor " + " ".join((*_ON_DATA, "--html", "page.html")): _HTML,
    "bench --out bench": _HTML,
    "report run --format html": _HTML,
    "train image --data digits": f"error: the data set digits needs scikit-learn, {_STUDY}",
    "train image --data mnist": f"error: the data set mnist needs pooch, {_STUDY}",
    "calibrate net.py:net --data digits -o x.pt": f"error: the data set digits needs scikit-learn, {_STUDY}",
    "predict run net.py": f"error: reading an image file needs pillow, {_STUDY}",
    "study fewer_steps": f"error: a study needs joblib, {_STUDY}",
    "study --backend ray --address 127.0.0.1:1": f"error: a study needs joblib, {_STUDY}",
    "fold "
    + " ".join((*_ON_DATA, "-o", "x.pt", "--onnx", "x.onnx")): f"an export to ONNX needs onnx, {_ONNX}",
    "doctor net.onnx": f"error: reading net.onnx needs onnx, {_ONNX}",
    "train image --data idx --framework keras": _KERAS,
    "port net.keras net.pt": _KERAS,
    "doctor net.keras": _KERAS,
}
_RUN = """
import contextlib, io, json
from normwise.cli.app import run_command_line

done = {}
for command in COMMANDS:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_command_line(command.split())
    done[command] = [code, out.getvalue(), err.getvalue()]
print(json.dumps(done))
"""
Done = dict[str, tuple[int, str, str]]


def _idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Return the exit code and the output of each command, all in one process and one folder."""
    folder = tmp_path_factory.mktemp("without")
    (folder / "net.py").write_text(_NET)
    for name in ("net.onnx", "net.keras"):
        (folder / name).write_bytes(b"")
    for name in ("idx", "study"):
        (folder / name).mkdir()
    draw = np.random.default_rng(0)
    for part, count in (("train", 40), ("t10k", 20)):
        _idx(folder / f"idx/{part}-images-idx3-ubyte", draw.integers(0, 256, (count, 8, 8)))
        _idx(folder / f"idx/{part}-labels-idx1-ubyte", np.arange(count) % 10)
    (folder / "study/study.json").write_text(to_json(study()))
    return json.loads(run_without(PACKAGES, f"COMMANDS = {[*_WORK, *_SAY]}\n{_RUN}", folder))


@pytest.mark.parametrize("command", _WORK)
def test_a_command_works_without_extras(command: str, done: Done) -> None:
    code, out, err = done[command]
    expected, part = _WORK[command]
    assert code == expected, err
    assert part in out


@pytest.mark.parametrize("command", _SAY)
def test_a_command_that_needs_an_extra_says_so_in_one_line(command: str, done: Done) -> None:
    code, out, err = done[command]
    assert (code, out) == (2, "")
    assert _SAY[command] in err
    assert err.count("\n") == 1
