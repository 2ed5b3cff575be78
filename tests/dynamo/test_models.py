"""Whole models compute the same with backend="normwise": outputs, gradients and buffers."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import normwise
from normwise.models import TASKS, build
from tests.support.kernels.compiled import compiled, numbers_of
from tests.support.model_kinds import SUBJECTS, Subject
from tests.support.networks import draw_network

pytestmark = [
    pytest.mark.usefixtures("kernels", "compiler_caches_cleared"),
    # Dynamo itself looks at tensors' gradients behind a graph break, and tells what it can't follow.
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
    pytest.mark.filterwarnings("ignore:Dynamo does not know how to trace"),
]


class BasicBlock(nn.Module):
    """A residual block as the well-known ones are written: shared ReLU in place, addition in place."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += self.downsample(x)
        return self.relu(out)


def blocks() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            BasicBlock(3, 6, 1), BasicBlock(6, 8, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)
        )


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def assert_same(
    model: nn.Module, x: Tensor, modes: tuple[bool | None, ...] = (True, False), **options: Any
) -> Any:
    """Assert equal numbers in a compiled and an uncompiled copy, in one mode after the other; return what was found."""
    old, new = copy.deepcopy(model), copy.deepcopy(model)
    run, found = compiled(new, **options)
    for training in modes:
        for one in (old, new):
            if training is not None:
                one.train(training)
        wanted = numbers_of(old, old, x)
        got = numbers_of(new, run, x)
        gradients = [grad for grad in wanted["parameters"].values() if grad is not None]
        largest = max((float(grad.abs().max()) for grad in gradients), default=0.0)
        # A bias before BN has a gradient of 0, but for the rounding of gradients that cancel.
        torch.testing.assert_close(
            got.pop("parameters"), wanted.pop("parameters"), rtol=1e-3, atol=2e-4 * max(1.0, largest)
        )
        # Sums in another order.
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=2e-4)
    return found


def test_a_residual_network_is_fused_throughout() -> None:
    found = assert_same(blocks(), images(4, 3, 8, 8), (True,), fullgraph=True)
    # In both blocks, in the order of the graph: the shortcut's BN is the addend.
    assert found == 2 * [("relu", False), (None, False), ("relu", True)]


@pytest.mark.parametrize("name", [name for name in TASKS["image"] if name != "row_lstm"])
def test_networks_of_the_tutorials(name: str) -> None:
    options: dict[str, Any] = {"depth": 8} if name == "resnet" else {}
    assert_same(build(name, (3, 12, 12), 10, **options), images(4, 3, 12, 12))


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_models_of_many_kinds(subject: Subject) -> None:
    old, new = subject.model(), subject.model()
    new.load_state_dict(old.state_dict())
    run, _ = compiled(new)
    for training in (True, True, False):
        outputs = []
        for model, call in ((old, old), (new, run)):
            model.train(training)
            torch.manual_seed(0)
            example = subject.example()
            outputs.append(
                call(**example)
                if isinstance(example, dict)
                else call(example[0] if isinstance(example, tuple) else example)
            )
            model.zero_grad()
            outputs[-1].square().sum().backward()
        torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(new.state_dict(), old.state_dict(), rtol=1e-3, atol=1e-4)
        gradients = [{name: p.grad for name, p in model.named_parameters()} for model in (new, old)]
        torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3)


@given(st.data())
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_networks(data: st.DataObject) -> None:
    torch.compiler.reset()
    model, example = draw_network(data, dtypes=[torch.float32])
    assert_same(model, example)


def test_bfloat16() -> None:
    model, x = blocks().bfloat16(), images(4, 3, 8, 8).bfloat16()
    exact = copy.deepcopy(model).double()
    wanted = numbers_of(exact, exact, x.double())["output"]
    run, found = compiled(model)
    torch.testing.assert_close(numbers_of(model, run, x)["output"].double(), wanted, rtol=0, atol=0.05)
    assert len(found) == 6


def test_autocast_around_the_model() -> None:
    old, new = blocks(), blocks()
    run, found = compiled(new)
    with torch.autocast("cpu", torch.bfloat16):
        wanted = numbers_of(old, old, images(4, 3, 8, 8))
        got = numbers_of(new, run, images(4, 3, 8, 8))
    torch.testing.assert_close(got["output"], wanted["output"], rtol=0, atol=0.05)
    torch.testing.assert_close(got["buffers"], wanted["buffers"], rtol=0, atol=0.02)
    assert len(found) == 6


def test_channels_last_stays() -> None:
    model: Any = BasicBlock(3, 6, 1).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    x = images(4, 3, 8, 8).to(memory_format=torch.channels_last)
    run, _ = compiled(model)
    assert run(x).is_contiguous(memory_format=torch.channels_last)
    assert_same(model, x)


@pytest.mark.parametrize(
    "kind", ["frozen layer", "evaluation of one layer", "fixed parameters", "no gradient at all"]
)
def test_layers_that_do_not_learn(kind: str) -> None:
    model: Any = blocks()
    modes: tuple[bool | None, ...] = (True, False)
    if kind == "frozen layer":
        normwise.freeze(model[0].bn1)
    elif kind == "evaluation of one layer":
        # As it stands: train() and eval() would set it, too.
        model[0].bn1.eval()
        modes = (None,)
    elif kind == "fixed parameters":
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.requires_grad_(False)
    else:
        model.requires_grad_(False)
    assert_same(model, images(4, 3, 8, 8), modes)


def test_graph_breaks_keep_the_two_parts_apart() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bn, self.seen = nn.BatchNorm2d(3), 0

        def forward(self, x: Tensor) -> Tensor:
            y = self.bn(x)
            torch._dynamo.graph_break()
            self.seen += 1
            return y.relu() + x

    model = Broken()
    assert assert_same(model, images(4, 3, 5, 5), (True,)) == [(None, False)]


def test_tied_layers_move_their_statistics_in_order() -> None:
    shared = BasicBlock(3, 3, 1)
    assert_same(nn.Sequential(shared, shared), images(4, 3, 6, 6))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_plain_average_of_all_batches() -> None:
    # Dynamo leaves such a layer to eager mode, since it asks for its counter.
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, momentum=None), nn.ReLU())
    assert_same(model, images(4, 3, 5, 5))


def test_without_running_statistics() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False, affine=False), nn.ReLU())
    assert (("relu", False)) in assert_same(model, images(4, 3, 5, 5))


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(5), nn.BatchNorm3d(5)])
def test_other_shapes(layer: nn.Module) -> None:
    shape = (6, 5, 2, 3, 2) if isinstance(layer, nn.BatchNorm3d) else (6, 5)
    assert (("relu", False)) in assert_same(nn.Sequential(layer, nn.ReLU()), images(*shape))


def test_a_sequence_seen_from_its_other_side() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bn = nn.BatchNorm1d(5)

        def forward(self, x: Tensor) -> Tensor:
            return self.bn(x.transpose(1, 2)).relu().transpose(1, 2)

    assert_same(Turned(), images(4, 7, 5))


@pytest.mark.parametrize("layer", [normwise.nn.BatchNorm2d(3, activation="relu"), normwise.nn.BatchNorm2d(3)])
def test_our_own_layers(layer: nn.Module) -> None:
    assert_same(nn.Sequential(layer, nn.Tanh()), images(4, 3, 5, 5))


def test_accelerated_models() -> None:
    model, _ = normwise.accelerate(blocks(), images(4, 3, 8, 8))
    assert_same(model, images(4, 3, 8, 8))


def test_a_failing_forward_pass_leaves_the_statistics() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
    before = copy.deepcopy(model.state_dict())
    run, _ = compiled(model)
    with pytest.raises(Exception, match="channels"):
        run(images(2, 5, 4, 4))
    torch.testing.assert_close(model.state_dict(), before)
    run(images(2, 3, 4, 4))
    assert model[1].num_batches_tracked == 1


def test_second_derivatives() -> None:
    model = nn.Sequential(nn.BatchNorm1d(5), nn.Tanh())
    run, _ = compiled(model)

    def second(call: Callable[[Tensor], Tensor]) -> Tensor:
        x = images(6, 5).requires_grad_()
        (first,) = torch.autograd.grad(call(x).pow(2).sum(), x, create_graph=True)
        return torch.autograd.grad(first.pow(2).sum(), x)[0]

    torch.testing.assert_close(second(run), second(model), rtol=1e-3, atol=1e-4)
