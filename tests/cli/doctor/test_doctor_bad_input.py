"""Bad input of ``normwise doctor``: one clear error and exit code 2, and no code of a checkpoint is run."""

import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

Command = Callable[..., Any]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing.py:model",), "there is no file nothing.py"),
        (("train.py:nothing",), "train.py has no 'nothing'"),
        (("train.py:number",), "train.py:number is of type float; expected a torch.nn.Module"),
        (
            ("train.py:loader",),
            "train.py:loader gives of type generator; expected it to give a torch.nn.Module",
        ),
        (("train.py:plain",), "Linear has no BN layer, so there is nothing to examine"),
        (("nothing.pt",), "there is no file nothing.pt"),
        (("nothing.onnx",), "there is no file nothing.onnx"),
        (("dance",), "'dance' is not a network"),
        (("train.py:held", "--data", "train.py:failing"), "the data raise ValueError at batch 1"),
        (("train.py:held", "--data", "train.py:odd"), "got str"),
        (("train.py:held", "--data", "train.py:empty"), "no batches"),
        (
            ("train.py:held", "--data", "train.py:number"),
            "train.py:number is of type float; expected batches",
        ),
        (("train.py:held", "--data", "net.py:loader"), "the model fails on its data"),
        (
            ("train.py:held", "--data", "train.py:loader", "--loss", "train.py:number"),
            "is of type float; expected",
        ),
        (("train.py:held", "--loss", "train.py:nothing"), "train.py has no 'nothing'"),
        (("train.py:held", "--optimizer", "train.py:number"), "gives float; expected an optimizer"),
        (
            ("train.py:held", "--optimizer", "train.py:make_loss"),
            "gives CrossEntropyLoss; expected an optimizer",
        ),
        (("train.py:held", "--optimizer", "torch.optim:SGD"), "is a class; expected an optimizer"),
        (("train.py:healthy", "--optimizer", "train.py:held_optimizer"), "has none of the parameters of"),
        (("train.py:held", "--select", "BN9"), "there is no rule 'BN9'"),
        (("train.py:held", "--select", "BN201", "--ignore", "BN2"), "every rule that is selected is ignored"),
        (("train.py:held", "--max-batches", "0"), "max-batches"),
        (("train.py:held", "--html", "page.txt"), "can't write page.txt: expected a name that ends in .html"),
        (("train.py:held", "--json", "--format", "sarif"), "--json and --format sarif contradict each other"),
        (("train.py:held", "--quiet", "--json"), "--quiet is for text, and json was asked for"),
        (("train.py:held", "--model", "train.py:held"), "--model is for checkpoints"),
        (("train.py:held", "--format", "xml"), "'xml'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_error(normwise: Command, arguments: tuple[str, ...], message: str) -> None:
    done = normwise("doctor", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert len(done.err.splitlines()) == 1


def test_an_error_of_the_data_has_its_place(normwise: Command) -> None:
    done = normwise("doctor", "train.py:held", "--data", "train.py:failing")
    assert "the disk is gone (train.py, line " in done.err


def test_a_network_is_needed_for_data_and_what_trains(normwise: Command, folder: Path) -> None:
    torch.save(nn.BatchNorm1d(2).state_dict(), "state.pt")
    for option in ("--data", "--loss", "--optimizer"):
        done = normwise("doctor", "state.pt", option, "train.py:loader")
        assert done.code == 2
        assert f"{option} can't be used with state.pt: a checkpoint contains no network" in done.err


class _Attack:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("attacked"),)


def _damaged(content: bytes) -> dict[str, bytes]:
    torch.save(nn.BatchNorm1d(2).state_dict(), "whole.pt")
    whole = Path("whole.pt").read_bytes()
    return {"cut": whole[: len(whole) // 2], "text": b"hello", "empty": b"", "malicious": content}


@pytest.mark.parametrize("kind", ["cut", "text", "empty", "malicious"])
@pytest.mark.parametrize("ending", [".pt", ".pth", ".ckpt", ".safetensors", ".onnx"])
def test_a_damaged_or_malicious_file_is_one_error_and_runs_nothing(
    normwise: Command, folder: Path, kind: str, ending: str
) -> None:
    path = folder / f"bad{ending}"
    path.write_bytes(_damaged(pickle.dumps({"1.running_var": _Attack()}))[kind])
    done = normwise("doctor", path.name)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: {path.name} ")
    assert len(done.err.splitlines()) == 1
    assert not (folder / "attacked").exists()


def test_pickled_objects_in_a_checkpoint_are_not_run(normwise: Command, folder: Path) -> None:
    torch.save({"state_dict": nn.BatchNorm1d(2).state_dict(), "hyper_parameters": _Attack()}, "bad.ckpt")
    done = normwise("doctor", "bad.ckpt")
    assert done.code == 2
    assert "refused" in done.err
    assert not (folder / "attacked").exists()


def test_a_checkpoint_without_bn_is_one_error(normwise: Command) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), "plain.pt")
    done = normwise("doctor", "plain.pt")
    assert (done.code, done.out) == (2, "")
    assert "plain.pt has no BN layer with running statistics" in done.err


def test_an_interruption_is_exit_code_130(folder: Path) -> None:
    (folder / "slow.py").write_text(
        "import pathlib, time, torch\nmodel = torch.nn.BatchNorm1d(2).eval()\n"
        "def loader():\n    pathlib.Path('begun').touch()\n    time.sleep(60)\n    yield torch.randn(4, 2)\n"
    )
    command = [sys.executable, "-m", "normwise", "doctor", "slow.py:model", "--data", "slow.py:loader"]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    while not (folder / "begun").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.startswith("Interrupted.")
