"""A run in Keras that is interrupted goes on as if it had not been, or says why it can't."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from normwise.errors import RunError
from normwise.records import Point, RunConfig
from normwise.training import RunFolder, train
from tests.support.keras.marks import not_on_jax

Config = Callable[..., RunConfig]


def _interrupt_at(step: int) -> Callable[[int, float, Point | None], None]:
    def on_step(taken: int, loss: float, point: Point | None) -> None:
        if taken == step:
            raise KeyboardInterrupt

    return on_step


def _same(first: Path, second: Path) -> None:
    for name in ("metrics.jsonl", "run.json", "preparation.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    ours, theirs = (load_file(path / "checkpoint.safetensors") for path in (first, second))
    assert set(ours) == set(theirs)
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name])


@pytest.mark.parametrize("checkpoint_seconds", [0.0, 1e9], ids=["at every step", "never"])
@pytest.mark.parametrize("optimizer", ["adam", pytest.param("sgd", marks=not_on_jax)])
def test_it_ends_as_one_that_was_not_interrupted(
    optimizer: str, checkpoint_seconds: float, config: Config, tmp_path: Path
) -> None:
    asked = config(optimizer=optimizer, lr=0.01)
    train(asked, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(asked, tmp_path / "cut", on_step=_interrupt_at(7), checkpoint_seconds=checkpoint_seconds)
    assert RunFolder(tmp_path / "cut").read().result is None
    assert (tmp_path / "cut" / "checkpoint.safetensors").exists() == (checkpoint_seconds == 0)
    train(asked, tmp_path / "cut", resume=True)
    _same(tmp_path / "whole", tmp_path / "cut")


def test_dropout_goes_on_as_it_would_have(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_dropout(*ignored: Any) -> keras.Model:
        keras.utils.set_random_seed(0)
        inputs = keras.Input((8, 8, 1))
        x = keras.layers.Dropout(0.5, name="dropout")(keras.layers.Flatten(name="flatten")(inputs))
        return keras.Model(inputs, keras.layers.Dense(10, name="output")(x))

    module = sys.modules["normwise.training.keras.train_in_keras"]  # whose function has its name
    monkeypatch.setattr(module, "keras_network", with_dropout)
    train(config(), tmp_path / "whole")
    _cut(config(), tmp_path / "cut")
    keras.random.uniform((2,))
    train(config(), tmp_path / "cut", resume=True)
    _same(tmp_path / "whole", tmp_path / "cut")


@not_on_jax
def test_a_finished_run_is_returned_as_it_is(config: Config, tmp_path: Path) -> None:
    run = train(config(steps=2), tmp_path / "run")
    before = (tmp_path / "run" / "checkpoint.safetensors").read_bytes()
    assert train(config(steps=2), tmp_path / "run", resume=True) == run
    assert (tmp_path / "run" / "checkpoint.safetensors").read_bytes() == before
    with pytest.raises(RunError, match="already holds a run; resume it by --resume"):
        train(config(steps=2), tmp_path / "run")


def _cut(asked: RunConfig, folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(asked, folder, on_step=_interrupt_at(3), checkpoint_seconds=0)


@not_on_jax
def test_another_backend_or_version_is_an_error_that_names_both(config: Config, tmp_path: Path) -> None:
    _cut(config(), tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    head: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    here = head["kernels"]
    head["kernels"] = "Keras 3.1.0, mxnet 1.9"
    path.write_text(json.dumps(head), encoding="utf-8")
    with pytest.raises(
        RunError,
        match=rf"started with Keras 3\.1\.0, mxnet 1\.9, and this is {re.escape(here)}.*KERAS_BACKEND",
    ):
        train(config(), tmp_path / "run", resume=True)


@not_on_jax
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda arrays: arrays.pop("model.hidden_norm/gamma"), "it lacks model.hidden_norm/gamma"),
        (lambda arrays: arrays.update({"model.more": np.zeros(2, "float32")}), "it has more: model.more"),
        (
            lambda arrays: arrays.update({"model.output/bias": np.zeros(3, "float32")}),
            r"model.output/bias has the shape \(3,\), and the network's has \(10,\)",
        ),
        (
            lambda arrays: arrays.update({"model.output/bias": np.zeros(10, "int32")}),
            "is of int32, and the network's",
        ),
    ],
)
def test_a_checkpoint_of_another_network_is_an_error(
    change: Callable[[dict[str, Any]], Any], said: str, config: Config, tmp_path: Path
) -> None:
    _cut(config(), tmp_path / "run")
    path = tmp_path / "run" / "checkpoint.safetensors"
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    arrays = load_file(path)
    change(arrays)
    save_file(arrays, path, metadata)
    with pytest.raises(RunError, match=said):
        train(config(), tmp_path / "run", resume=True)


@not_on_jax
def test_a_damaged_checkpoint_is_an_error(config: Config, tmp_path: Path) -> None:
    _cut(config(), tmp_path / "run")
    (tmp_path / "run" / "checkpoint.safetensors").write_bytes(b"no tensors")
    with pytest.raises(RunError, match="is damaged or belongs to another network"):
        train(config(), tmp_path / "run", resume=True)
