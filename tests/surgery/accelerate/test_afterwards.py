"""Operations on an accelerated model: it computes what the model without acceleration would."""

import copy
import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.utils import fusion

import normwise

IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
_SOURCE = """
import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.project, self.relu = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), nn.ReLU()

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y = y + self.project(x)
        return self.relu(y)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block()
        self.tail = nn.Sequential(nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten())

    def forward(self, x):
        return self.tail(self.block(x))
"""


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """A model of a file that can be imported, in evaluation, and the accelerated one."""
    (tmp_path / "network_of_a_user.py").write_text(_SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "network_of_a_user", raising=False)
    import network_of_a_user  # pyright: ignore[reportMissingImports]

    torch.manual_seed(0)
    model = network_of_a_user.Net()
    model(IMAGES)
    new, report = normwise.accelerate(model, IMAGES)
    assert [change.activation for change in report.layers] == ["relu", "relu", None, "relu"]
    assert [change.residual for change in report.layers] == [False, True, False, False]
    return model.eval(), new.eval()


def saved(model: nn.Module) -> Any:
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def synchronised(model: nn.Module) -> Any:
    return nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model)).eval()


def fused_by_torch(model: Any) -> Any:
    model = copy.deepcopy(model)
    model.block.conv1 = fusion.fuse_conv_bn_eval(model.block.conv1, model.block.bn1)
    model.block.bn1 = nn.Identity()
    return model


def scripted(model: Any) -> Any:
    before = [type(module) for module in model.modules()]
    compiled = torch.jit.script(model)
    assert [type(module) for module in model.modules()] == before
    return compiled


AFTERWARDS: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "save": saved,
    "sync": synchronised,
    "fuse": fused_by_torch,
    "script": scripted,
    "jit.trace": lambda model: torch.jit.trace(model, IMAGES),
    "fx": torch.fx.symbolic_trace,
    "export": lambda model: torch.export.export(model, (IMAGES,)).module(),
    "frozen": lambda model: (normwise.freeze(model), model)[1],
    "folded": lambda model: normwise.fold(model, IMAGES, timed=False)[0],
    "converted": lambda model: normwise.convert(model, "torch", example=IMAGES)[0],
    "twice": lambda model: normwise.accelerate(model, IMAGES)[0],
}


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("name", AFTERWARDS)
def test_outputs_stay(pair: tuple[Any, Any], name: str) -> None:
    model, new = pair
    expected = model(IMAGES)
    torch.testing.assert_close(AFTERWARDS[name](new)(IMAGES), expected, rtol=1e-4, atol=1e-5)


def test_every_conversion_folds_all_layers_of_an_accelerated_model(pair: tuple[Any, Any]) -> None:
    report = normwise.fold(pair[1], IMAGES, timed=False)[1]
    assert all(change.changed for change in report.changes)


def test_a_pickled_model_is_accelerated_in_another_process(pair: tuple[Any, Any], tmp_path: Path) -> None:
    _, new = pair
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(new))
    torch.save(new(IMAGES), tmp_path / "expected.pt")
    code = (
        "import pickle, torch\n"
        "from normwise.surgery.accelerate.rewritten import Rewritten\n"
        "model = pickle.load(open('model.pickle', 'rb'))\n"
        "assert isinstance(model.block, Rewritten) and isinstance(model.tail, Rewritten)\n"
        "images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))\n"
        "torch.testing.assert_close(model(images), torch.load('expected.pt'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_second_time_nothing_is_done_and_said(pair: tuple[Any, Any]) -> None:
    again, report = normwise.accelerate(pair[1], IMAGES)
    assert report.layers[0].reason == "of Block: it was accelerated before, and stays so"
    assert [type(module) for module in again.modules()] == [type(module) for module in pair[1].modules()]


def test_copies_are_of_the_same_class(pair: tuple[Any, Any]) -> None:
    assert type(copy.deepcopy(pair[1]).block) is type(pair[1].block)
    assert type(pickle.loads(pickle.dumps(pair[1])).block) is type(pair[1].block)


@pytest.mark.parametrize("path", ["block.bn1", "block.bn2", "block.relu", "tail.1", "tail.2"])
@pytest.mark.parametrize(
    "kind",
    [
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "register_full_backward_pre_hook",
    ],
)
def test_a_hook_that_comes_later_is_called_with_what_it_would_see(
    pair: tuple[Any, Any], path: str, kind: str
) -> None:
    seen: list[list[Tensor]] = []
    for model in pair:
        values: list[Tensor] = []
        getattr(model.get_submodule(path), kind)(
            lambda module, *given, values=values: values.extend(
                value.detach().clone() for one in given for value in one if isinstance(value, Tensor)
            )
        )
        model(IMAGES.clone().requires_grad_()).square().sum().backward()
        seen.append(values)
    assert len(seen[0]) > 0
    for old, new in zip(*seen, strict=True):
        torch.testing.assert_close(new, old, rtol=1e-4, atol=1e-5)


def test_a_hook_on_all_modules_sees_each_layer(pair: tuple[Any, Any]) -> None:
    seen: list[list[str]] = []
    for model in pair:
        names: list[str] = []
        handle = torch_module.register_module_forward_hook(
            lambda module, args, output, names=names: names.append(type(module).__name__)
        )
        try:
            model(IMAGES)
        finally:
            handle.remove()
        seen.append(names)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("layer", [nn.Identity(), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True)])
@pytest.mark.parametrize("name", ["bn1", "bn2"])
def test_a_layer_that_is_exchanged_later_is_called(pair: tuple[Any, Any], layer: Any, name: str) -> None:
    for model in pair:
        setattr(model.block, name, copy.deepcopy(layer).eval())
    torch.testing.assert_close(pair[1](IMAGES), pair[0](IMAGES))


def test_an_activation_that_is_exchanged_later_is_called(pair: tuple[Any, Any]) -> None:
    for model in pair:
        model.block.relu = nn.Softplus()
        model.tail[2] = nn.GELU("tanh")
    torch.testing.assert_close(pair[1](IMAGES), pair[0](IMAGES))


def test_entries_that_come_later_are_called(pair: tuple[Any, Any]) -> None:
    for model in pair:
        model.tail.append(nn.Softmax(1))
    torch.testing.assert_close(pair[1](IMAGES), pair[0](IMAGES))


def test_a_part_of_a_sequential_is_that_part(pair: tuple[Any, Any]) -> None:
    parts = [model.tail[:2](model.block(IMAGES)) for model in pair]
    torch.testing.assert_close(parts[1], parts[0])
    assert parts[1].min() < 0


@pytest.mark.parametrize("size", [1, 2, 7])
def test_an_addend_that_was_of_equal_shape_by_chance_is_broadcast(size: int) -> None:
    class Position(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bn, self.position = nn.BatchNorm2d(3), nn.Parameter(torch.randn(1, 3, 8, 8))

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(self.bn(x) + self.position)

    model = Position()
    new, report = normwise.accelerate(model, IMAGES[:1])
    assert report.layers[0].residual
    x = torch.randn(size, 3, 8, 8)
    torch.testing.assert_close(new.eval()(x), model.eval()(x))


class Double(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.double()


def test_an_addend_of_another_type_is_promoted() -> None:
    class Adding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bn, self.other = nn.BatchNorm2d(3), nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(self.bn(x) + self.other(x))

    new, report = normwise.accelerate(Adding().eval(), IMAGES)
    assert report.layers[0].residual
    new.other = Double()
    assert new(IMAGES).dtype is torch.float64
    torch.testing.assert_close(new(IMAGES), torch.relu(new.get_submodule("bn")(IMAGES) + IMAGES.double()))


def test_the_signature_of_a_forward_pass_stays(pair: tuple[Any, Any]) -> None:
    import inspect

    model, new = pair
    assert inspect.signature(new.block.forward) == inspect.signature(model.block.forward)
    assert inspect.getsource(new.block.forward) == inspect.getsource(model.block.forward)


def test_a_class_that_registers_those_made_from_it_is_left() -> None:
    made: list[type] = []

    class Registered(nn.Sequential):
        def __init_subclass__(cls) -> None:
            made.append(cls)

    model = Registered(nn.BatchNorm2d(3), nn.ReLU())
    new, report = normwise.accelerate(model, IMAGES)
    assert report.layers[0].reason == "of Registered: its class takes note of classes that are made from it"
    assert made == []
    torch.testing.assert_close(new(IMAGES), model(IMAGES))


def test_a_forward_pass_that_was_replaced_on_an_instance_is_left() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU())
    model.forward = lambda x: x * 2  # pyright: ignore[reportAttributeAccessIssue]
    new, report = normwise.accelerate(model, IMAGES)
    assert torch.equal(new(IMAGES), IMAGES * 2)
    assert report.layers[0].activation is None


def test_a_graph_that_may_be_compiled_again_is_left(pair: tuple[Any, Any]) -> None:
    graph = torch.fx.symbolic_trace(pair[0])
    new, report = normwise.accelerate(graph, IMAGES)
    assert "of GraphModule: its forward is compiled from a graph" in report.layers[0].reason
    torch.testing.assert_close(new(IMAGES), graph(IMAGES))
