"""A configuration's key names its folder: it must never change, and differ wherever the run would."""

import dataclasses
import json
import subprocess
import sys
from typing import Any

import pytest

from normwise.records import RunConfig, from_plain, to_json

CHANGES: dict[str, Any] = {
    "model": "dense_bn",
    "data": "digits",
    "norm": "none",
    "steps": 101,
    "batch_size": 61,
    "lr": 0.2,
    "seed": 4,
    "eval_every": 26,
    "optimizer": "sgd",
    "dtype": "float32",
    "options": {},
    "train_samples": None,
    "test_samples": 1000,
    "measures": ("gradients", "calibrated"),
    "task": "text",
    "data_options": {"split": "speaker"},
    "clip": 1.0,
    "statistics": "local",
    "framework": "keras",
    "split": "validation",
    "momentum": 0.9,
    "eval_growth": 0.05,
    "stop_at_loss": 0.1,
    "draw_samples": True,
    "weight_decay": 0.01,
    "augment": ("flip",),
}


def test_it_is_what_it_was_in_the_first_version(config: RunConfig) -> None:
    # Runs lie in folders of such names: with another key, a study would not find its finished runs.
    assert config.key == "b4a8b0a3fb8d175d"


def test_so_it_is_of_a_configuration_with_all_defaults() -> None:
    plain = RunConfig("dense_bn", "digits", "batch", 100, 60, 0.1, 0, 10)
    assert plain.key == "55af78709f93ea3c"


def test_every_field_is_changed_below() -> None:
    assert list(CHANGES) == [field.name for field in dataclasses.fields(RunConfig)]


@pytest.mark.parametrize("field", CHANGES)
def test_another_value_of_any_field_gives_another(config: RunConfig, field: str) -> None:
    assert dataclasses.replace(config, **{field: CHANGES[field]}).key != config.key


@pytest.mark.parametrize(
    ("options", "others"),
    [
        ({"depth": 20}, {"depth": 26}),
        ({"depth": 20}, {"width": 20}),
        ({"bias": True}, {"bias": 1}),
        ({"bias": True}, {"bias": "True"}),
        ({"a": 1, "b": 2}, {"a": 2, "b": 1}),
    ],
)
def test_other_options_give_another(
    config: RunConfig, options: dict[str, Any], others: dict[str, Any]
) -> None:
    keys = {dataclasses.replace(config, options=each).key for each in (options, others)}
    assert len(keys) == 2


def test_the_order_of_the_options_does_not_matter(config: RunConfig) -> None:
    backwards = dict(reversed(list(config.options.items())))
    assert list(backwards) != list(config.options)
    assert dataclasses.replace(config, options=backwards).key == config.key


@pytest.mark.parametrize("lr", [1, 1.0])
def test_equal_learning_rates_give_one_key(config: RunConfig, lr: float) -> None:
    assert dataclasses.replace(config, lr=lr).key == dataclasses.replace(config, lr=1.0).key


@pytest.mark.parametrize("lr", [1, 0.1, 1e-7, 3.0])
def test_it_survives_being_written_and_read(config: RunConfig, lr: float) -> None:
    config = dataclasses.replace(config, lr=lr)
    assert from_plain(RunConfig, json.loads(to_json(config))).key == config.key


def test_it_is_fit_for_a_folder(config: RunConfig) -> None:
    assert len(config.key) == 16
    assert set(config.key) <= set("0123456789abcdef")


def test_it_is_the_same_in_another_process(config: RunConfig) -> None:
    # Whose strings hash to other numbers.
    code = f"from normwise.records import RunConfig; print({config!r}.key)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == config.key
