"""Runs that go on to more steps than they were begun with."""

from collections.abc import Callable
from pathlib import Path

import pytest

from normwise.errors import RunError
from normwise.records import RunConfig
from normwise.training import train

Make = Callable[..., RunConfig]
_FILES = ("run.json", "metrics.jsonl", "checkpoint.safetensors", "preparation.json")


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "momentum": 0.9},
        {"optimizer": "adam", "lr": 0.01},
        {"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.1},
    ],
    ids=["sgd", "momentum", "adam", "adamw"],
)
def test_an_extended_run_has_the_bytes_of_one_that_was_as_long_from_its_start(
    tmp_path: Path, config: Make, changes: dict[str, object]
) -> None:
    train(config(steps=5, **changes), tmp_path / "extended", threads=1)
    longer = config(steps=12, **changes)
    extended = train(longer, tmp_path / "extended", threads=1, resume=True)
    assert extended == train(longer, tmp_path / "whole", threads=1)
    assert [(tmp_path / "extended" / name).read_bytes() for name in _FILES] == [
        (tmp_path / "whole" / name).read_bytes() for name in _FILES
    ]


def test_weight_decay_shrinks_weights_that_no_gradient_moves(tmp_path: Path, config: Make) -> None:
    from safetensors.torch import load_file

    def norm(name: str, decay: float) -> float:
        train(config(optimizer="adamw", lr=1e-3, weight_decay=decay, steps=5), tmp_path / name, threads=1)
        tensors = load_file(tmp_path / name / "checkpoint.safetensors")
        return sum(
            float(tensor.norm())
            for key, tensor in tensors.items()
            if key.startswith("model.") and tensor.ndim > 1
        )

    assert norm("decayed", 1.0) < norm("kept", 0.0)


def test_a_longer_run_is_not_begun_over_a_shorter_one_without_being_asked(
    tmp_path: Path, config: Make
) -> None:
    train(config(steps=5), tmp_path / "run", threads=1)
    with pytest.raises(RunError, match="already holds a run of 5 steps; extend it to 12 by --resume"):
        train(config(), tmp_path / "run", threads=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 7}, "can't be extended: it was evaluated after 7 steps, and a run of 20 steps is not"),
        ({"steps": 5, "norm": "none", "lr": 1e30}, "diverged after . steps and can't be extended"),
        (
            {"steps": 10, "stop_at_loss": 100.0},
            "reached the loss to stop at after 5 steps and can't be extended",
        ),
    ],
    ids=["grid", "diverged", "stopped"],
)
def test_a_run_that_would_be_another_is_not_extended(
    tmp_path: Path, config: Make, changes: dict[str, object], message: str
) -> None:
    train(config(**changes), tmp_path / "run", threads=1)
    before = [(tmp_path / "run" / name).read_bytes() for name in _FILES]
    with pytest.raises(RunError, match=message):
        train(config(**changes | {"steps": 20}), tmp_path / "run", threads=1, resume=True)
    assert [(tmp_path / "run" / name).read_bytes() for name in _FILES] == before
