"""torch.compile(model, backend="normwise"): the name, the options, and what happens when something fails."""

import copy
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from normwise.dynamo import backend
from normwise.dynamo.backend import normwise
from normwise.errors import BatchNormWarning
from tests.support.kernels.compiled import fused_in, numbers_of

pytestmark = pytest.mark.usefixtures("kernels", "compiler_caches_cleared")

ROOT = Path(__file__).parents[2]
GROUP = "torch_dynamo_backends"
has_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++"))),
    reason="Inductor needs a C++ compiler, and none is found",
)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.conv, self.bn, self.last = (
                nn.Conv2d(3, 3, 1, bias=False),
                nn.BatchNorm2d(3),
                nn.BatchNorm2d(3),
            )

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.bn(self.conv(x)) + x)).tanh()


def images() -> Tensor:
    return torch.randn(4, 3, 6, 5, generator=torch.Generator().manual_seed(0))


def test_the_name_is_there_after_installation(tmp_path: Path) -> None:
    environment = dict(os.environ)
    declared = re.search(
        rf'^\[project\.entry-points\.{GROUP}\]\nnormwise = "(.+)"$',
        (ROOT / "pyproject.toml").read_text(),
        re.MULTILINE,
    )
    assert declared is not None
    if "normwise" not in importlib.metadata.entry_points(group=GROUP).names:
        # An installation from before: as pip would write it now.
        metadata = tmp_path / "normwise-0.1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: normwise\nVersion: 0.1.0\n")
        (metadata / "entry_points.txt").write_text(f"[{GROUP}]\nnormwise = {declared.group(1)}\n")
        environment["PYTHONPATH"] = os.pathsep.join((str(tmp_path), environment.get("PYTHONPATH", "")))
    code = """
import sys, torch
model = torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.ReLU())
compiled = torch.compile(model, backend="normwise", options={"rest": "eager"})
x = torch.randn(5, 3)
print("normwise" in torch.compiler.list_backends(), (compiled(x) - model(x)).abs().max().item() < 1e-6)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=tmp_path,
    )
    assert done.stdout.split() == ["True", "True"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rest": "tvm"}, "unknown rest='tvm'; expected \"inductor\", which compiles"),
        ({"rest": "eager", "max_autotune": True}, "got 'max_autotune' beside rest=\"eager\""),
        ({"max_autotune": "no"}, "the option 'max_autotune' is 'no'; expected bool, as Inductor does"),
        ({"nothing": 1}, "unknown option 'nothing'; expected \"rest\", or one of Inductor's"),
    ],
)
def test_options_that_do_not_exist_are_named(options: dict[str, Any], message: str) -> None:
    model = Net()
    state = copy.deepcopy(model.state_dict())
    with pytest.raises(Exception, match=re.escape(message)):
        torch.compile(model, backend=normwise, options=options)(images())
    torch.testing.assert_close(model.state_dict(), state)


def test_modes_are_inductors() -> None:
    with pytest.raises(Exception, match="got mode='max-autotune' beside rest=\"eager\""):
        torch.compile(
            Net(), backend=lambda g, i: normwise(g, i, mode="max-autotune", options={"rest": "eager"})
        )(images())
    with pytest.raises(Exception, match="unknown mode 'fast'; expected one of 'default', "):
        torch.compile(Net(), backend=normwise, mode="fast")(images())


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Inductor without its compiler: AOTAutograd traces and runs the graphs. Gives settings and graphs of all calls."""
    given: list[Any] = []

    def inductor(graph_module: Any, inputs: Any, config_patches: Any) -> Callable[..., Any]:
        given.append((config_patches, fused_in(graph_module)))
        return torch._dynamo.lookup_backend("aot_eager")(graph_module, inputs)

    monkeypatch.setattr(backend, "lookup_backend", lambda name: {"inductor": inductor}[name])
    return given


def test_other_options_are_inductors(settings: list[Any]) -> None:
    torch.compile(Net(), backend=normwise, options={"epilogue-fusion": False})(images())
    torch.compile(Net(), backend=normwise, mode="max-autotune-no-cudagraphs")(images())
    assert [found for found, _ in settings] == [
        {"epilogue_fusion": False},
        torch._inductor.list_mode_options("max-autotune-no-cudagraphs"),
    ]


@pytest.mark.parametrize("dynamic", [None, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_training_is_the_operator_and_evaluation_inductors(
    settings: list[Any], dtype: torch.dtype, dynamic: bool | None
) -> None:
    old, new = Net().to(dtype), Net().to(dtype)
    run = torch.compile(new, backend=normwise, dynamic=dynamic)
    tolerance = 1e-4 if dtype is torch.float32 else 0.06
    for training in (True, False, True):
        old.train(training)
        new.train(training)
        x = images().to(dtype)
        wanted = numbers_of(old, old, x)
        torch.testing.assert_close(numbers_of(new, run, x), wanted, rtol=tolerance, atol=tolerance)
    # Where numbers are dynamic Dynamo may trace a graph twice.
    first, *others = [found for _, found in settings]
    assert first == [("relu", True), ("tanh", False)]
    assert others in ([[]], [first, []])


def test_a_frozen_layer_is_inductors(settings: list[Any]) -> None:
    old, new = Net(), Net()
    for model in (old, new):
        model.bn.eval()
        model.bn.requires_grad_(False)
    run = torch.compile(new, backend=normwise)
    torch.testing.assert_close(
        numbers_of(new, run, images()), numbers_of(old, old, images()), rtol=1e-4, atol=1e-5
    )
    assert settings[0][1] == [("tanh", False)]


def test_a_graph_that_cannot_be_read_runs_as_it_is(
    settings: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise KeyError("example_value")

    monkeypatch.setattr(backend, "find_fusions", fail)
    old, new = Net(), Net()
    with pytest.warns(
        BatchNormWarning, match="leaves batch normalization to Inductor.*KeyError: 'example_value'"
    ):
        got = torch.compile(new, backend=normwise)(images())
    torch.testing.assert_close(got, old(images()))
    assert settings[0][1] == []


@has_compiler
def test_inductor_compiles_the_rest() -> None:
    old, new = Net(), Net()
    run = torch.compile(new, backend=normwise)
    for _ in range(2):
        wanted = numbers_of(old, old, images())
        torch.testing.assert_close(numbers_of(new, run, images()), wanted, rtol=1e-4, atol=1e-5)
