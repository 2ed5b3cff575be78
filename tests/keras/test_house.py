"""The shape of the Keras packages: public names, and a light import."""

import doctest
import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import keras
import pytest

import normwise.keras

_PACKAGES = {
    "normwise.keras": {
        "BatchNormalization", "CalibrateCallback", "WatchCallback", "calibrate", "diagnose", "fold", "freeze",
        "unfreeze",
    },
    "normwise.keras.doctor": {"Diagnosis", "all_rules", "diagnose"},
    "normwise.keras.networks": {
        "NETWORKS", "NORMS", "SEQUENCE_NORMS", "TASKS", "LayerNormLSTMCell", "NormChoice", "NormFactory", "build",
        "cnn_32", "cnn_64", "conv_pair", "dense_bn", "mnist_cnn", "row_lstm", "sentiment_bilstm", "speech_lstm",
    },
    "normwise.keras.surgery": {"CalibrateCallback", "calibrate", "fold", "freeze", "unfreeze"},
}  # fmt: skip


def _modules() -> list[str]:
    found = pkgutil.walk_packages(normwise.keras.__path__, "normwise.keras.")
    names = ["normwise.keras", *(module.name for module in found)]
    # What knows torch is imported where Keras computes with it.
    return [name for name in names if name != "normwise.keras.on_torch" or keras.backend.backend() == "torch"]


_MODULES = _modules()


def _is_package(name: str) -> bool:
    return hasattr(importlib.import_module(name), "__path__")


def test_every_module_can_be_imported_and_says_what_it_is() -> None:
    assert all(importlib.import_module(name).__doc__ for name in _MODULES)


@pytest.mark.parametrize("package", [name for name in _MODULES if _is_package(name)])
def test_a_package_shows_what_it_exports_and_nothing_else(package: str) -> None:
    module = importlib.import_module(package)
    shown = {
        name
        for name in dir(module)
        if not name.startswith("_")
        and not inspect.ismodule(value := getattr(module, name))
        and (getattr(value, "__module__", None) or "normwise").startswith("normwise")
    }
    exported = getattr(module, "__all__", ())
    assert len(set(exported)) == len(exported)
    assert all(hasattr(module, name) for name in exported)
    assert shown <= set(exported)


@pytest.mark.parametrize(("package", "names"), _PACKAGES.items())
def test_public_names_are_those_promised_and_no_others(package: str, names: set[str]) -> None:
    assert set(importlib.import_module(package).__all__) == names


def test_importing_brings_torch_only_where_keras_computes_with_it() -> None:
    code = "import sys, normwise.keras; print('torch' in sys.modules)"
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=240
    )
    assert done.stdout.strip() == str(keras.backend.backend() == "torch")


def _examples() -> Iterator[Any]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in _MODULES:
        yield from (test for test in finder.find(importlib.import_module(name)) if test.examples)


@pytest.mark.parametrize("test", list(_examples()), ids=lambda test: test.name)
def test_examples_print_what_they_say(test: Any, capsys: pytest.CaptureFixture[str]) -> None:
    runner = doctest.DocTestRunner()
    runner.run(test)
    assert runner.failures == 0, capsys.readouterr().out
