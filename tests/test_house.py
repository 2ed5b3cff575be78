"""The shape of the house: layers, public names, a light import."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import normwise

_PACKAGES = {
    "normwise": {
        "__version__", "accelerate", "accumulate", "calibrate", "convert", "diagnose", "doctor", "errors", "fold",
        "freeze", "functional", "insert", "nn", "port", "reference", "tune_allocator", "unfreeze", "watch",
    },
    "normwise.doctor": {
        "Case", "Diagnosis", "Facts", "Rule", "all_rules", "check_every", "diagnose", "examine", "rules_named",
    },
    "normwise.nn": {
        "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "BatchNormGRU", "BatchNormLSTM", "BatchRenorm1d",
        "BatchRenorm2d", "BatchRenorm3d", "GhostBatchNorm1d", "GhostBatchNorm2d", "GhostBatchNorm3d", "LayerNormGRU",
        "LayerNormLSTM", "SequenceBatchNorm", "SyncBatchNorm",
    },
    "normwise.distributed": {"RankUnion", "joined", "union_of"},
    "normwise.functional": {
        "ACTIVATIONS", "batch_norm", "moments", "normalise", "sequence_mask", "update_running",
    },
    "normwise.statistics": {
        "Batch", "Data", "Moments", "accumulate", "arguments_of", "backward_of_union", "batches_of", "calibrate",
        "evaluating", "merge_statistics", "using_batch_statistics", "watch",
    },
    "normwise.surgery": {
        "accelerate", "convert", "export_onnx", "find", "fold", "freeze", "insert", "remove_biases", "unfreeze",
    },
    "normwise.porting": {"epsilons_of", "port", "port_to_state"},
    "normwise.testing": {"assert_healthy"},
    "normwise.studies": {
        "PRESETS", "Claim", "Cluster", "Network", "Preset", "all_claims", "claims_named", "preset_named", "run_study",
    },
}  # fmt: skip


#: What imports without torch: the Keras package, and whatever only reads records, must be able to.
_TORCH_FREE = (
    "normwise",
    "normwise.process.allocator",
    "normwise.cli",
    "normwise.data",
    "normwise.data.registry",
    "normwise.errors",
    "normwise.files",
    "normwise.lazy",
    "normwise.process.parent",
    "normwise.judgement",
    "normwise.recordings",
    "normwise.recordings.sinks",
    "normwise.records",
    "normwise.reference",
    "normwise.report",
    "normwise.visible",
)


def _packages() -> list[str]:
    """Return all packages but those of Keras, whose backend would come into this process: tests/keras has theirs."""
    root = Path(normwise.__file__).parent
    names = sorted(
        ".".join(("normwise", *path.parent.relative_to(root).parts)) for path in root.rglob("__init__.py")
    )
    return [name for name in names if not name.startswith("normwise.keras")]


def _shown(package: ModuleType) -> list[str]:
    """Return the names that ``dir`` shows of a package: its exports, and whatever of ours has no underscore."""
    exported = getattr(package, "__all__", ())
    return [name for name in dir(package) if name in exported or _is_ours(name, getattr(package, name))]


def _is_ours(name: str, value: object) -> bool:
    if name.startswith("_") or inspect.ismodule(value):
        return False
    return (getattr(value, "__module__", None) or "normwise").startswith("normwise")


@pytest.mark.parametrize("package", _packages())
def test_a_package_shows_what_it_exports_and_nothing_else(package: str) -> None:
    module = importlib.import_module(package)
    assert sorted(getattr(module, "__all__", ())) == sorted(_shown(module))


@pytest.mark.parametrize(("package", "names"), _PACKAGES.items())
def test_public_names_are_those_promised_and_no_others(package: str, names: set[str]) -> None:
    assert set(importlib.import_module(package).__all__) == names


@pytest.mark.parametrize("module", _TORCH_FREE)
def test_a_module_without_torch_stays_so(module: str) -> None:
    code = f"import sys, {module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


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
    project = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    (version,) = re.findall(r'^version = "(.+)"$', project, re.MULTILINE)
    assert normwise.__version__ == version
