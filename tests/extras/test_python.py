"""The library without its extras: what works, and what says what to install."""

import json
from pathlib import Path

import pytest

import normwise
from tests.extras.declared import PACKAGES
from tests.extras.hide_packages import run_without

#: Modules that are imported where their package is there.
_NEED_A_PACKAGE = {
    "normwise.callbacks.lightning",
    "normwise.callbacks.transformers",
    "normwise.studies.cluster.dask_backend",
    "normwise.studies.cluster.joblib_backend",
    "normwise.studies.cluster.ray_backend",
}


def _modules() -> list[str]:
    """Return all modules but those of Keras and of Triton, and the one that runs the command line."""
    root = Path(normwise.__file__).parent
    names = [
        ".".join(("normwise", *path.relative_to(root).with_suffix("").parts)) for path in root.rglob("*.py")
    ]
    others = (".keras", ".porting", ".triton.", "__init__", "__main__")
    return sorted(name for name in names if not any(other in name for other in others))


def test_no_module_imports_a_package_of_an_extra_where_it_is_there(tmp_path: Path) -> None:
    modules = sorted(set(_modules()) - _NEED_A_PACKAGE)
    code = f"import sys, {', '.join(modules)}\nprint(*sys.modules)"
    imported = {name.partition(".")[0] for name in run_without((), code, tmp_path).split()}
    assert "torch" in imported
    assert PACKAGES.isdisjoint(imported)


_ON_A_MODEL = """
import torch, normwise
from torch import nn
from normwise.testing import assert_healthy

torch.manual_seed(0)
batches = [torch.randn(16, 3, 8, 8) * 3 + 1 for _ in range(4)]
model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
with normwise.watch(model, to="seen", every=1) as recording:
    for batch in batches:
        model(batch)
print(len(str(normwise.diagnose(model.eval(), batches))) > 0)
print(normwise.diagnose(model, batches).fix()[1].proven)
print(normwise.calibrate(model, batches))
assert_healthy(model, batches)
for operation in (normwise.accelerate, normwise.fold):
    print(operation(model, batches[0])[1])
print(normwise.convert(model, "group", groups=2)[1])
model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
print(normwise.insert(model, batches[0])[1])
print(normwise.nn.SequenceBatchNorm(3, batch_first=True)(torch.randn(2, 5, 3), torch.tensor([5, 2])).shape)
"""


def test_layers_operations_and_the_doctor_need_no_extra(tmp_path: Path) -> None:
    printed = run_without(PACKAGES, _ON_A_MODEL, tmp_path)
    assert printed.splitlines()[:2] == ["True", "True"]
    assert printed.splitlines()[-1] == "torch.Size([2, 5, 3])"


_STUDY = ", which is not installed: pip install 'normwise[study]'"
_ONNX = "needs onnx, which is not installed: pip install 'normwise[onnx]'"
#: Calls, with the text of their error or a part of it.
_NEEDS = {
    "normwise.data.digits()": f"the data set digits needs scikit-learn{_STUDY}",
    "load_data('image', 'breast-cancer')": f"the data set breast-cancer needs scikit-learn{_STUDY}",
    "load_data('image', 'crops-16')": f"a data set of crops needs scikit-learn{_STUDY}",
    "load_data('image', 'mnist')": f"the data set mnist needs pooch{_STUDY}",
    "load_data('speech', 'fsdd')": f"the data set fsdd needs pooch{_STUDY}",
    "load_data('image', 'photographs')": f"reading an image file needs pillow{_STUDY}",
    "resampled(torch.zeros(100), 8000, 16000)": f"from 8,000 to 16,000 samples a second needs scipy{_STUDY}",
    "run_study(preset_named('quick'), claims_named(('fewer_steps',)), Path('s'))": f"a study needs joblib{_STUDY}",
    "quantile(3, 0.5)": f"judging a claim needs scipy{_STUDY}",
    "recording_page(recording())": "needs plotly, which is not installed: pip install 'normwise[html]'",
    "export_onnx(nn.Linear(2, 2).eval(), torch.ones(3, 2), 'net.onnx')": f"an export to ONNX {_ONNX}",
    "Facts.of_onnx(b'', 'net.onnx')": f"reading net.onnx {_ONNX}",
    "Cluster('dask', 'tcp://host:1').connected()": "the backend dask needs distributed, which is not installed: pip "
    "install 'normwise[dask]'",
    "Cluster('ray', 'host:1').connected()": "the backend ray needs ray, which is not installed: pip install "
    "'normwise[ray]'",
    "normwise.port(nn.Linear(2, 2), None)": "needs keras, which is not installed: pip install 'normwise[keras]', and",
}


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, str]]:
    """Modules that can't be imported, and what each call says, in a process without the packages of the extras."""
    folder = tmp_path_factory.mktemp("without")
    for part in ("train", "test"):
        (folder / "photographs" / part / "a").mkdir(parents=True)
        (folder / "photographs" / part / "a/1.png").write_bytes(b"")
    code = f"""
import importlib, json
from pathlib import Path
import torch
from torch import nn
import normwise, normwise.data
from normwise.data import load_data
from normwise.data.speech.speech_features import resampled
from normwise.doctor import Facts
from normwise.errors import MissingPackageError
from normwise.report import recording_page
from normwise.studies import Cluster, claims_named, preset_named, run_study
from normwise.studies.judging.student import quantile
from normwise.surgery import export_onnx
from tests.support.reports.shown_runs import recording

said, failed = {{}}, []
for call in {list(_NEEDS)}:
    try:
        eval(call)
    except MissingPackageError as error:
        said[call] = str(error)
for name in {_modules()}:
    try:
        importlib.import_module(name)
    except ImportError:
        failed.append(name)
print(json.dumps([failed, said]))
"""
    return json.loads(run_without(PACKAGES, code, folder))


def test_all_modules_can_be_imported_but_those_of_a_package(
    without: tuple[list[str], dict[str, str]],
) -> None:
    assert set(without[0]) == _NEED_A_PACKAGE


@pytest.mark.parametrize("call", _NEEDS)
def test_what_needs_an_extra_says_what_to_install(
    call: str, without: tuple[list[str], dict[str, str]]
) -> None:
    assert _NEEDS[call] in without[1][call]
