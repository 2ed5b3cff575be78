"""``calibrate``, ``fold`` and ``convert`` as a user meets them: what they write, print and refuse."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import normwise as nw
from normwise.records import Calibration, Conversion, Folding, from_plain

Command = Callable[..., Any]

_CALIBRATE = ("calibrate", "net.py:plain", "--data", "net.py:loader")
_FOLD = ("fold", "state.pt", "--model", "net.py:plain", "--data", "net.py:loader")
_CONVERT = ("convert", "state.pt", "--model", "net.py:plain", "--to", "group", "--groups", "2")
_COMMANDS = [_CALIBRATE, _FOLD, _CONVERT]
_each_command = pytest.mark.parametrize("command", _COMMANDS, ids=lambda command: command[0])


@pytest.fixture
def state(folder: Path, trained: nn.Module) -> dict[str, Tensor]:
    """Content of ``state.pt``."""
    torch.save(trained.state_dict(), folder / "state.pt")
    return trained.state_dict()


def _read(path: str) -> dict[str, Tensor]:
    return load_file(path) if path.endswith("safetensors") else torch.load(path, weights_only=True)


def _equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(
        torch.equal(a[key], b[key]) and a[key].dtype == b[key].dtype for key in a
    )


@pytest.mark.parametrize("out", ["out.safetensors", "out.pt", "out.pth"])
def test_calibrate_writes_the_networks_state_with_the_statistics_of_the_data(
    normwise: Command, state: dict[str, Tensor], trained: nn.Module, batches: list[Tensor], out: str
) -> None:
    done = normwise("calibrate", "state.pt", "--model", "net.py:plain", "--data", "net.py:loader", "-o", out)
    assert (done.code, done.err) == (0, "")
    report = nw.calibrate(trained, batches)
    assert done.out == f"{report}\nwritten: {out}\n"
    assert _equal(_read(out), trained.state_dict())
    assert not _equal(_read(out), torch.load("state.pt", weights_only=True))


def test_calibrate_takes_its_options(
    normwise: Command, state: dict[str, Tensor], trained: nn.Module, batches: list[Tensor]
) -> None:
    options = ("--order", "training", "--variance", "batch", "--max-batches", "2", "--include-frozen")
    done = normwise(
        *_CALIBRATE[:1], "state.pt", "--model", "net.py:plain", *_CALIBRATE[2:], *options, "-o", "out.pt"
    )
    assert done.code == 0
    nw.calibrate(trained, batches[:2], order="training", variance="batch")
    assert _equal(_read("out.pt"), trained.state_dict())


def test_frozen_layers_are_calibrated_on_request(normwise: Command, folder: Path) -> None:
    (folder / "frozen.py").write_text(
        "import net, normwise\ndef model():\n    it = net.plain()\n    normwise.freeze(it)\n    return it\n"
    )
    command = ("calibrate", "frozen.py:model", "--data", "net.py:loader", "--json", "-o", "out.pt")
    for options, calibrated in ((), False), (("--include-frozen", "--force"), True):
        record = from_plain(Calibration, json.loads(normwise(*command, *options).out))
        assert [layer.calibrated for layer in record.layers] == [calibrated] * 2


def test_statistics_that_a_checkpoint_lacks_are_computed(
    normwise: Command, state: dict[str, Tensor], trained: nn.Module, batches: list[Tensor]
) -> None:
    bare = {key: value for key, value in state.items() if "running" not in key and "num_batches" not in key}
    torch.save(bare, "bare.pt")
    command = ("bare.pt", "--model", "net.py:plain", "--data", "net.py:loader")
    for other in (("fold",), ("convert", "--to", "group")):
        refused = normwise(*other, *command, "-o", "out.pt")
        assert refused.code == 2
        assert refused.err.startswith("error: bare.pt has no running statistics of 1, 4; compute them first")
    done = normwise("calibrate", *command, "-o", "out.pt")
    assert done.err == "note: bare.pt has no running statistics of 1, 4; they are computed now\n"
    nw.calibrate(trained, batches)
    expected = {key: value for key, value in trained.state_dict().items() if "num_batches" not in key}
    assert _equal(
        {key: value for key, value in _read("out.pt").items() if "num_batches" not in key}, expected
    )


def test_statistics_that_are_neither_there_nor_computed_are_an_error(normwise: Command, folder: Path) -> None:
    (folder / "unused.py").write_text(
        "from torch import nn\nimport net\n"
        "class Model(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.used = net.plain()\n"
        "        self.spare = nn.BatchNorm2d(1)\n"
        "    def forward(self, x):\n        return self.used(x)\n"
    )
    torch.save({"spare.weight": torch.ones(1), "spare.bias": torch.ones(1)}, "spare.pt")
    normwise("calibrate", "unused.py:Model", "--data", "net.py:loader", "-o", "whole.pt")
    whole = _read("whole.pt")
    torch.save({key: value for key, value in whole.items() if key != "spare.running_var"}, "lacking.pt")
    done = normwise(
        "calibrate", "lacking.pt", "--model", "unused.py:Model", "--data", "net.py:loader", "-o", "out.pt"
    )
    assert done.code == 2
    assert "lacking.pt has no running statistics of spare, and got none: the data never reach it" in done.err
    assert not (folder / "out.pt").exists()


@pytest.mark.parametrize(
    "command", [("calibrate",), ("fold",), ("convert", "--to", "group")], ids=lambda c: c[0]
)
def test_a_network_that_fails_is_one_error_with_its_type_and_place(
    normwise: Command, folder: Path, command: tuple[str, ...]
) -> None:
    (folder / "bad.py").write_text(
        "from torch import nn\n"
        "class Model(nn.BatchNorm2d):\n"
        "    def __init__(self):\n        super().__init__(1)\n"
        "    def forward(self, x):\n        return x.nothing\n"
    )
    done = normwise(*command, "bad.py:Model", "--data", "net.py:loader", "-o", "out.pt")
    assert (done.code, done.out) == (2, "")
    assert "'Tensor' object has no attribute 'nothing'; AttributeError (bad.py, line 6)" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_network_without_bn_can_not_be_calibrated(normwise: Command, folder: Path) -> None:
    (folder / "bare.py").write_text("from torch import nn\nmodel = nn.Flatten()\n")
    done = normwise("calibrate", "bare.py:model", "--data", "net.py:loader", "-o", "out.pt")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(
        "error: Flatten has no BN layer, so there is nothing to calibrate. Looked for "
    )
    assert not (folder / "out.pt").exists()


def test_fold_writes_what_the_folded_network_loads(
    normwise: Command, state: dict[str, Tensor], trained: nn.Module, batches: list[Tensor]
) -> None:
    done = normwise(*_FOLD, "-o", "out.safetensors")
    assert (done.code, done.err) == (0, "")
    assert "1 (BatchNorm2d): folded into Conv2d '0' before it\n" in done.out
    assert done.out.endswith("written: out.safetensors\n")
    folded, _ = nw.fold(trained.eval(), batches[0], timed=False)
    out = _read("out.safetensors")
    assert set(out) == {f"{path}.{name}" for path in (0, 3, 8) for name in ("weight", "bias")}
    torch.manual_seed(0)
    folded.load_state_dict(out)
    torch.testing.assert_close(folded(batches[1]), trained(batches[1]))


def test_a_difference_beyond_the_tolerance_is_an_error(normwise: Command, state: dict[str, Tensor]) -> None:
    done = normwise(*_FOLD, "--tolerance", "1e-30", "-o", "out.pt")
    assert done.code == 2
    assert "the folded model's outputs differ from the model's by " in done.err
    assert not Path("out.pt").exists()


def test_fold_exports_what_onnxruntime_computes_alike(
    normwise: Command, state: dict[str, Tensor], trained: nn.Module, batches: list[Tensor]
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    done = normwise(*_FOLD, "-o", "out.pt", "--onnx", "out.onnx")
    assert done.code == 0
    assert "\nwritten: out.onnx, which differs from torch by " in done.out
    session = onnxruntime.InferenceSession("out.onnx")
    (output,) = session.run(None, {session.get_inputs()[0].name: batches[0].numpy()})
    torch.testing.assert_close(torch.from_numpy(output), trained.eval()(batches[0]))


@pytest.mark.parametrize(
    ("onnx", "message"),
    [
        ("out.pb", "can't write out.pb: expected a name that ends in .onnx"),
        ("old.onnx", "old.onnx exists already; choose another name, or replace it with --force"),
    ],
)
def test_an_export_that_can_not_be_written_is_told_before_anything_else(
    normwise: Command, folder: Path, onnx: str, message: str
) -> None:
    (folder / "old.onnx").write_bytes(b"old")
    done = normwise("fold", "none.py:none", "--data", "none.py:none", "-o", "out.pt", "--onnx", onnx)
    assert (done.code, done.err) == (2, f"error: {message}\n")
    assert (folder / "old.onnx").read_bytes() == b"old"


def test_convert_writes_what_the_converted_network_loads(
    normwise: Command, state: dict[str, Tensor], trained: nn.Module, batches: list[Tensor]
) -> None:
    done = normwise(*_CONVERT, "--eps", "0.001", "--data", "net.py:loader", "-o", "out.safetensors")
    assert (done.code, done.err) == (0, "")
    converted, report = nw.convert(trained, to="group", groups=2, eps=0.001, example=batches[0])
    assert done.out == f"{report}\nwritten: out.safetensors\n"
    assert _equal(_read("out.safetensors"), converted.state_dict())


def test_convert_needs_no_data_and_takes_a_momentum(normwise: Command, state: dict[str, Tensor]) -> None:
    done = normwise(
        "convert", "state.pt", "--model", "net.py:plain", "--to", "batch", "--momentum", "0.3", "-o", "o.pt"
    )
    assert (done.code, done.err) == (0, "")
    assert _equal(_read("o.pt"), state)


def test_an_unknown_norm_is_one_error(normwise: Command, state: dict[str, Tensor]) -> None:
    done = normwise("convert", "state.pt", "--model", "net.py:plain", "--to", "power", "-o", "out.pt")
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert "power" in done.err
    assert "group" in done.err


@pytest.mark.parametrize(
    ("command", "kind"), [(_CALIBRATE, Calibration), (_FOLD, Folding), (_CONVERT, Conversion)]
)
def test_json_is_the_record_and_nothing_else(
    normwise: Command, state: dict[str, Tensor], folder: Path, command: tuple[str, ...], kind: type
) -> None:
    with (folder / "net.py").open("a") as file:
        file.write("print('imported')\n")
    done = normwise(*command, "--json", "-o", "out.pt")
    assert (done.code, done.err) == (0, "imported\n")
    from_plain(kind, json.loads(done.out))


@_each_command
def test_what_exists_is_replaced_by_force_only(
    normwise: Command, state: dict[str, Tensor], folder: Path, command: tuple[str, ...]
) -> None:
    (folder / "out.pt").write_bytes(b"old")
    (folder / "net.py").rename(folder / "away.py")  # which is told before the network is looked for
    refused = normwise(*command, "-o", "out.pt")
    message = "error: out.pt exists already; choose another name, or replace it with --force\n"
    assert (refused.code, refused.out, refused.err) == (2, "", message)
    assert (folder / "out.pt").read_bytes() == b"old"
    (folder / "away.py").rename(folder / "net.py")
    assert normwise(*command, "--force", "-o", "out.pt").code == 0
    assert _read("out.pt")


def test_a_checkpoint_may_replace_itself(normwise: Command, state: dict[str, Tensor]) -> None:
    normwise(*_CONVERT[:-4], "--to", "batch", "-o", "same.safetensors")
    command = ("calibrate", "same.safetensors", "--model", "net.py:plain", "--data", "net.py:loader")
    assert normwise(*command, "-o", "same.safetensors", "--force").code == 0
    assert normwise(*command, "-o", "again.safetensors").code == 0
    assert Path("again.safetensors").read_bytes() == Path("same.safetensors").read_bytes()


@_each_command
@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("none/out.pt", "can't write none/out.pt: there is no folder none; make it first"),
        ("out.npz", "can't write out.npz: expected a name that ends in .safetensors, .pt or .pth"),
    ],
)
def test_an_output_that_can_not_be_written_is_told_before_anything_else(
    normwise: Command, folder: Path, command: tuple[str, ...], out: str, message: str
) -> None:
    (folder / "net.py").unlink()
    done = normwise(*command, "-o", out)
    assert (done.code, done.out, done.err) == (2, "", f"error: {message}\n")


@_each_command
def test_an_output_is_required(normwise: Command, command: tuple[str, ...]) -> None:
    done = normwise(*command)
    assert done.code == 2
    assert "'-o'" in done.err


def test_code_in_a_checkpoint_is_not_run(normwise: Command, folder: Path) -> None:
    evil = b"cposix\nsystem\n(S'touch run'\ntR."
    (folder / "evil.pt").write_bytes(evil)
    done = normwise(
        "calibrate", "evil.pt", "--model", "net.py:plain", "--data", "net.py:loader", "-o", "out.pt"
    )
    assert done.code == 2
    assert done.err.startswith("error: evil.pt ")
    assert "Traceback" not in done.err
    assert {path.name for path in folder.iterdir()} <= {"net.py", "evil.pt", "__pycache__"}


_LOADERS = {
    "error": ("raise OSError('torn')", 2, "OSError: torn (torn.py, line 5)"),
    "interruption": (
        "raise KeyboardInterrupt",
        130,
        "Interrupted. Finished work is kept, and no file is half-written",
    ),
    "shape": ("yield torch.zeros(2, 3, 8, 8)", 2, "expected input[2, 3, 8, 8] to have 1 channels"),
}


@pytest.mark.parametrize("old", [None, b"old"])
@pytest.mark.parametrize("fault", _LOADERS)
def test_a_failure_while_reading_leaves_what_was_there(
    normwise: Command, folder: Path, fault: str, old: bytes | None
) -> None:
    line, code, message = _LOADERS[fault]
    (folder / "torn.py").write_text(
        f"import net, torch\ndef loader():\n    batches = list(net.loader())\n    yield from batches\n    {line}\n"
    )
    if old is not None:
        (folder / "out.pt").write_bytes(old)
    done = normwise("calibrate", "net.py:plain", "--data", "torn.py:loader", "--force", "-o", "out.pt")
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert "Traceback" not in done.err
    assert len(done.err.splitlines()) == 1
    assert {path.name for path in folder.iterdir()} - {"__pycache__"} == {"net.py", "torn.py"} | (
        set() if old is None else {"out.pt"}
    )
    assert old is None or (folder / "out.pt").read_bytes() == old


@_each_command
@pytest.mark.parametrize(
    ("error", "code"), [(OSError(28, "No space left on device"), 2), (KeyboardInterrupt(), 130)]
)
def test_a_failure_while_writing_leaves_what_was_there(
    normwise: Command,
    state: dict[str, Tensor],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    error: BaseException,
    code: int,
) -> None:
    (folder / "out.pt").write_bytes(b"old")
    before = {path.name for path in folder.iterdir()} | {"__pycache__"}

    def crash(_: int) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("normwise.files.os.fsync", crash)
        done = normwise(*command, "--force", "-o", "out.pt")
    assert (done.code, done.out) == (code, "")
    assert (folder / "out.pt").read_bytes() == b"old"
    assert {path.name for path in folder.iterdir()} | {"__pycache__"} == before


def test_a_signal_in_the_middle_leaves_no_file(folder: Path) -> None:
    # What Ctrl-C sends, to a process of its own.
    (folder / "slow.py").write_text(
        "import pathlib, time, torch\n"
        "def loader():\n"
        "    yield torch.zeros(4, 1, 8, 8)\n"
        "    pathlib.Path('begun').touch()\n"
        "    time.sleep(60)\n"
    )
    command = [
        sys.executable,
        "-m",
        "normwise",
        "calibrate",
        "net.py:plain",
        "--data",
        "slow.py:loader",
        "-o",
        "out.pt",
    ]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (folder / "begun").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert errors.startswith("Interrupted. Finished work is kept, and no file is half-written")
    assert not (folder / "out.pt").exists()


@_each_command
def test_help_has_an_example_and_says_what_is_written(
    normwise: Command, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    done = normwise(command[0], "--help")
    assert done.code == 0
    assert f"Example: normwise {command[0]} " in done.out
    assert "OUT has the " in done.out
