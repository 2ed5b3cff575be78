"""Checkpoints as training scripts write them: below other names, several in one file, with options beside them."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from normwise.cli.inputs.cli_target import load_target
from normwise.errors import ArgumentError, ModelError


@pytest.fixture
def averaged(trained: nn.Module) -> dict[str, Tensor]:
    """Other weights of the same network."""
    return {
        key: value + 1 if value.is_floating_point() else value for key, value in trained.state_dict().items()
    }


def _below(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{key}": value for key, value in state.items()}


def _is(model: nn.Module, state: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("prefix", ["net", "model", "module.backbone", "_forward_module.net"])
def test_a_network_below_another_name_is_found(folder: Path, trained: nn.Module, prefix: str) -> None:
    torch.save(_below(prefix, trained.state_dict()), "last.pt")
    assert _is(load_target("last.pt", "net.py:plain").model, trained.state_dict())


def test_a_checkpoint_of_lightning_is_read(
    folder: Path, trained: nn.Module, capsys: pytest.CaptureFixture[str]
) -> None:
    state = _below("net", trained.state_dict()) | {"criterion.weight": torch.ones(10)}
    content: dict[str, Any] = {
        "epoch": 3,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": state,
        "hyper_parameters": {"lr": 0.1},
        "optimizer_states": [],
    }
    torch.save(content, "last.ckpt")
    assert _is(load_target("last.ckpt", "net.py:plain").model, trained.state_dict())
    said = capsys.readouterr().err
    assert "note: besides the weights below net, criterion.weight are left out" in said
    assert "last.ckpt has epoch, pytorch-lightning_version, hyper_parameters and 1 more" in said


def test_weights_are_chosen_by_their_key(
    folder: Path, trained: nn.Module, averaged: dict[str, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"model": trained.state_dict(), "model_ema": averaged, "epoch": 3}, "both.pth")
    assert _is(load_target("both.pth", "net.py:plain").model, trained.state_dict())
    assert (
        "has model_ema, epoch, which are left out; --weights model_ema takes these" in capsys.readouterr().err
    )
    assert _is(load_target("both.pth", "net.py:plain", "model_ema").model, averaged)


def test_weights_are_chosen_by_what_stands_before_them(
    folder: Path, trained: nn.Module, averaged: dict[str, Tensor]
) -> None:
    state = _below("student", trained.state_dict()) | _below("teacher", averaged)
    torch.save({"state_dict": state}, "both.ckpt")
    with pytest.raises(
        ModelError, match="has such weights below student and teacher; choose by --weights student"
    ):
        load_target("both.ckpt", "net.py:plain")
    assert _is(load_target("both.ckpt", "net.py:plain", "teacher").model, averaged)


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (
            lambda: load_target("one.pt", "net.py:plain", "ema"),
            r"one\.pt has no weights 'ema': .* names begin with 0, 1, 3 and 2 more",
        ),
        (
            lambda: load_target("net.py:plain", None, "ema"),
            "--weights is for checkpoints that have several, and net.py:plain is not one",
        ),
    ],
)
def test_weights_that_are_not_there_are_said(
    folder: Path, trained: nn.Module, load: Callable[[], object], message: str
) -> None:
    torch.save(trained.state_dict(), "one.pt")
    with pytest.raises(ArgumentError, match=message):
        load()


def test_options_of_a_script_beside_the_weights_are_no_obstacle(folder: Path, trained: nn.Module) -> None:
    torch.save({"model": trained.state_dict(), "args": argparse.Namespace(lr=0.1)}, "last.pth")
    assert _is(load_target("last.pth", "net.py:plain").model, trained.state_dict())
