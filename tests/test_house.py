"""The shape of the house: layers, public names, a light import."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import normwise

_PACKAGES = {
    "normwise": {
        "__version__", "accelerate", "calibrate", "convert", "errors", "fold", "freeze", "functional", "insert", "nn",
        "reference", "tune_allocator", "unfreeze", "watch",
    },
    "normwise.nn": {
        "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "BatchNormGRU", "BatchNormLSTM", "LayerNormGRU", "LayerNormLSTM",
        "SequenceBatchNorm",
    },
    "normwise.functional": {
        "ACTIVATIONS", "batch_norm", "moments", "normalise", "sequence_mask", "update_running",
    },
    "normwise.statistics": {
        "Batch", "Data", "Moments", "arguments_of", "batches_of", "calibrate", "evaluating", "using_batch_statistics",
        "watch",
    },
    "normwise.surgery": {
        "accelerate", "convert", "export_onnx", "find", "fold", "freeze", "insert", "remove_biases", "unfreeze",
    },
    "normwise.studies": {
        "PRESETS", "Claim", "Network", "Outcome", "Preset", "all_claims", "claims_named", "preset_named", "run_study",
    },
}  # fmt: skip


@pytest.mark.parametrize(("package", "names"), _PACKAGES.items())
def test_public_names_are_those_promised_and_no_others(package: str, names: set[str]) -> None:
    module = importlib.import_module(package)
    assert set(module.__all__) == names
    assert all(hasattr(module, name) for name in names)


def test_imports_point_down_the_house() -> None:
    root = Path(__file__).parents[1]
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_importing_brings_torch_and_numpy_and_nothing_else_of_ours() -> None:
    heavy = ["typer", "rich", "jinja2", "plotly", "pooch", "sklearn", "scipy", "joblib", "PIL", "safetensors"]
    code = (
        f"import torch, sys; before = set(sys.modules); from normwise import *; new = set(sys.modules) - before; \
print([name for name in {heavy} if name in new])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_torch_is_imported_when_a_name_needs_it() -> None:
    code = """
import sys, normwise
assert set(normwise.__all__) <= set(dir(normwise))
normwise.errors, normwise.reference
print("torch" in sys.modules)
normwise.surgery, normwise.statistics, normwise.kernels, normwise.records, normwise.layers, normwise.files
print("torch" in sys.modules, normwise.fold is normwise.surgery.fold, hasattr(normwise, "nothing"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "True", "False"]


def test_importing_changes_nothing_of_torch() -> None:
    code = """
import torch
def state():
    return (torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(),
            torch.initial_seed(), torch.nn.BatchNorm2d, torch.nn.functional.batch_norm)
before = state()
from normwise import *
assert state() == before
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_version_is_the_packages() -> None:
    assert normwise.__version__.count(".") == 2
