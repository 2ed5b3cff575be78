"""Our layers in other people's models: the same numbers, the fusions that are due, and nothing lost."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import normwise
from normwise.errors import ModelError
from normwise.models import TASKS, build
from normwise.records import LayerChange

IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class BasicBlock(nn.Module):
    """A residual block as the well-known ones are written: shared ReLU in place, addition in place."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
            if stride != 1 or inputs != outputs
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class Functional(nn.Module):
    def __init__(self, activate: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.bn, self.activate = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), activate

    def forward(self, x: Tensor) -> Tensor:
        return self.activate(self.bn(self.conv(x)))


class Lambda(nn.Module):
    """A model that calls ``bn`` as ``how`` says."""

    def __init__(self, how: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.bn, self.how = nn.BatchNorm2d(3), how

    def forward(self, x: Tensor) -> Tensor:
        return self.how(self, x)


def changes(model: nn.Module, example: Any = IMAGES) -> dict[str, LayerChange]:
    return {change.path: change for change in normwise.accelerate(model, example)[1].layers}


def run(model: nn.Module, steps: int = 3) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Outputs of some training steps and of an evaluation, and the state after them."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    outputs = []
    for step in range(steps):
        out = model(IMAGES + step)
        outputs.append(out.detach().clone())
        (out * torch.linspace(-1, 1, out.numel()).view(out.shape)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    outputs.append(model.eval()(IMAGES).detach())
    return outputs, {name: tensor.clone() for name, tensor in model.state_dict().items()}


def networks() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    blocks = nn.Sequential(
        BasicBlock(3, 6), BasicBlock(6, 8, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)
    )
    return {"blocks": blocks} | {
        name: build(name, (3, 12, 12), 10) for name in TASKS["image"] if name != "row_lstm"
    }


@pytest.mark.parametrize("name", networks())
def test_training_and_evaluation_go_as_before(name: str) -> None:
    model = networks()[name]
    example = IMAGES if name == "blocks" else torch.randn(4, 3, 12, 12)
    new, report = normwise.accelerate(copy.deepcopy(model), example)
    if name == "blocks":
        for old, got in zip(run(model)[0], run(new)[0], strict=True):
            torch.testing.assert_close(got, old, rtol=1e-4, atol=1e-5)
    assert report.output_error < 1e-5
    assert all(change.replaced for change in report.layers)


def test_a_residual_block_gives_up_its_relus_and_its_addition() -> None:
    found = changes(nn.Sequential(BasicBlock(3, 6, 2)))
    assert (found["0.bn1"].activation, found["0.bn1"].residual) == ("relu", False)
    assert (found["0.bn2"].activation, found["0.bn2"].residual) == ("relu", True)
    assert (found["0.downsample.1"].activation, found["0.downsample.1"].residual) == (None, False)


def test_our_resnet_has_every_relu_and_addition_taken_over() -> None:
    found = changes(build("resnet", (3, 8, 8), 10, depth=8))
    assert all(change.activation == "relu" for change in found.values())
    assert [path for path, change in found.items() if change.residual] == [
        f"blocks.{i}.norm2" for i in range(3)
    ]


@pytest.mark.parametrize(
    ("activate", "name"),
    [
        (F.relu, "relu"),
        (torch.relu, "relu"),
        (lambda x: F.relu(x, inplace=True), "relu"),
        (lambda x: x.relu(), "relu"),
        (lambda x: x.relu_(), "relu"),
        (F.silu, "silu"),
        (F.gelu, "gelu"),
        (F.hardswish, "hardswish"),
        (F.leaky_relu, "leaky_relu"),
        (F.elu, "elu"),
        (torch.sigmoid, "sigmoid"),
        (lambda x: x.tanh(), "tanh"),
        (nn.ELU(), "elu"),
        (nn.ReLU6(), "relu6"),
        (lambda x: F.leaky_relu(x, 0.2), None),
        (lambda x: F.gelu(x, approximate="tanh"), None),
        (nn.LeakyReLU(0.2), None),
        (nn.GELU("tanh"), None),
        (F.softplus, None),
    ],
)
def test_each_activation_is_taken_over_where_it_is_the_same_function(activate: Any, name: str | None) -> None:
    assert changes(Functional(activate))["bn"].activation == name


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (lambda m, x: (y := m.bn(x)).relu() + y, "its output feeds 2 places"),
        (lambda m, x: m.bn(x) * 2, "no activation or addition that it could take over follows"),
        (lambda m, x: m.bn(x).relu() if x.sum() > -1e9 else x, "of Lambda: its forward can't be traced"),
        (
            lambda m, x: m.bn(x).relu() if m.training else m.bn(x),
            "of Lambda: its forward differs between training and evaluation",
        ),
        (
            lambda m, x: m.bn(x).relu() + torch.ones(8),
            "of Lambda: it calls ones on no value that its input decides",
        ),
    ],
    ids=["fed twice", "nothing follows", "untraceable", "mode", "constants"],
)
def test_what_cannot_be_taken_over_is_replaced_and_said(how: Any, reason: str) -> None:
    model = Lambda(how)
    new, report = normwise.accelerate(model, IMAGES)
    (change,) = report.layers
    assert change.replaced
    assert (change.activation, change.residual) == (None, False)
    assert change.reason.startswith(reason)
    torch.testing.assert_close(new(IMAGES), model(IMAGES))


def test_each_call_of_a_layer_is_fused_by_itself() -> None:
    model = Lambda(lambda m, x: m.bn(m.bn(x).relu()))
    new, report = normwise.accelerate(model, IMAGES)
    assert report.layers[0] == LayerChange("bn", "BatchNorm2d", True, "relu", False, "in 1 of 2 calls")
    torch.testing.assert_close(new(IMAGES), model(IMAGES))


@pytest.mark.parametrize(
    ("how", "residual"),
    [
        (lambda m, x: m.bn(x) + x, True),
        (lambda m, x: x + m.bn(x), True),
        (lambda m, x: torch.add(m.bn(x), x), True),
        (lambda m, x: m.bn(x).add_(x), True),
        (lambda m, x: m.bn(x) + x.mean((2, 3), keepdim=True), False),  # broadcast
        (lambda m, x: m.bn(x) + 1.0, False),
        (lambda m, x: torch.add(m.bn(x), x, alpha=2), False),
        (lambda m, x: (x * 1).add_(m.bn(x)), False),  # changes the other operand
    ],
)
def test_an_addition_is_taken_over_where_it_is_one_of_equal_shapes(how: Any, residual: bool) -> None:
    assert changes(Lambda(how))["bn"].residual is residual


def test_the_given_model_is_left_alone() -> None:
    model = nn.Sequential(BasicBlock(3, 6))
    before = [type(module) for module in model.modules()]
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random_state = torch.random.get_rng_state()
    normwise.accelerate(model, IMAGES)
    assert [type(module) for module in model.modules()] == before
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.random.get_rng_state(), random_state)


def test_in_place_the_model_itself_is_changed() -> None:
    model = nn.Sequential(BasicBlock(3, 6))
    expected = copy.deepcopy(model)(IMAGES)
    new, _ = normwise.accelerate(model, IMAGES, inplace=True)
    assert new is model
    assert isinstance(model[0].bn1, normwise.nn.BatchNorm2d)
    torch.testing.assert_close(model(IMAGES), expected)


def test_an_optimiser_made_before_still_works() -> None:
    model = nn.Sequential(BasicBlock(3, 6))
    new, _ = normwise.accelerate(model, IMAGES)
    assert [id(p) for p in new.parameters()] == [id(p) for p in model.parameters()]
    assert list(new.state_dict()) == list(model.state_dict())


def test_tied_modules_stay_tied() -> None:
    shared = BasicBlock(3, 3)
    new, _ = normwise.accelerate(nn.Sequential(shared, shared), IMAGES)
    assert new.get_submodule("0") is new.get_submodule("1")


@pytest.mark.parametrize("training", [True, False])
def test_modes_stay(training: bool) -> None:
    model = nn.Sequential(BasicBlock(3, 6)).train(training)
    model.get_submodule("0.bn1").train(not training)
    new, _ = normwise.accelerate(model, IMAGES)
    assert [module.training for module in new.modules()] == [module.training for module in model.modules()]


def test_hooks_stay_and_see_what_they_saw() -> None:
    model, seen = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()), []
    model[0].register_forward_hook(lambda module, args, output: seen.append(output.min().item()))
    new, report = normwise.accelerate(model, IMAGES)
    assert report.layers[0].reason == "it has hooks, which see its own output"
    seen.clear()
    new(IMAGES)
    assert len(seen) == 1
    assert seen[0] < 0


def test_an_activation_with_hooks_is_left() -> None:
    model, seen = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()), []
    model[1].register_forward_hook(lambda *_: seen.append(1))
    new, _ = normwise.accelerate(model, IMAGES)
    seen.clear()
    new(IMAGES)
    assert seen == [1]


class Doubling(nn.BatchNorm2d):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


def test_a_subclass_of_torchs_layer_is_left_and_said() -> None:
    new, report = normwise.accelerate(nn.Sequential(Doubling(3), nn.ReLU()), IMAGES)
    assert type(new.get_submodule("0")) is Doubling
    assert not report.layers[0].replaced
    assert "Doubling may do anything in its forward" in report.layers[0].reason


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_types_stay(dtype: torch.dtype) -> None:
    new, _ = normwise.accelerate(nn.Sequential(BasicBlock(3, 6)).to(dtype), IMAGES.to(dtype))
    assert new(IMAGES.to(dtype)).dtype == dtype


def test_the_new_model_can_be_copied_and_compiled() -> None:
    new, _ = normwise.accelerate(nn.Sequential(BasicBlock(3, 6)), IMAGES)
    expected = copy.deepcopy(new)(IMAGES)
    compiled = torch.compile(copy.deepcopy(new), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(IMAGES), expected)


@pytest.mark.parametrize(
    "example",
    [IMAGES, (IMAGES, torch.zeros(4)), [IMAGES], {"input": IMAGES}],
    ids=["tensor", "tuple", "list", "dict"],
)
def test_an_example_is_one_batch(example: Any) -> None:
    assert changes(nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()), example)["0"].activation == "relu"


def test_a_layer_that_the_example_does_not_reach_is_replaced_alone() -> None:
    model = Lambda(lambda m, x: x * 1.0)
    assert changes(model)["bn"] == LayerChange(
        "bn", "BatchNorm2d", True, None, False, "the example does not reach it"
    )


def test_a_model_that_fails_on_the_example_says_so() -> None:
    with pytest.raises(ModelError, match="the model fails on the example: "):
        normwise.accelerate(nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()), torch.randn(4, 5, 8, 8))


def test_a_report_reads_as_a_line_a_layer() -> None:
    lines = str(normwise.accelerate(nn.Sequential(BasicBlock(3, 6)), IMAGES)[1]).splitlines()
    assert lines[1] == "0.bn2: replaced, took over the activation 'relu' and the addition before it"
    assert lines[-2].startswith("largest relative difference: outputs ")
    assert lines[-1].startswith("a training pass on the example is ")


def test_a_model_that_was_accelerated_before_is_told_so_and_not_timed() -> None:
    once, _ = normwise.accelerate(nn.Sequential(BasicBlock(3, 6)), IMAGES, timed=False)
    _, report = normwise.accelerate(once, IMAGES)
    assert math.isnan(report.speedup)
    lines = str(report).splitlines()
    assert lines[0].startswith("0.bn1: normwise's already (of BasicBlock: it was accelerated before")
    assert (
        lines[-1]
        == "nothing has changed: no layer was replaced, and none took over anything more than before"
    )


def test_timing_leaves_gradients_and_statistics_as_they_are() -> None:
    model = nn.Sequential(BasicBlock(3, 6))
    model(IMAGES).square().sum().backward()
    tensors = [*model.buffers(), *(parameter.grad for parameter in model.parameters())]
    before = [tensor.clone() for tensor in tensors if tensor is not None]
    _, report = normwise.accelerate(model, IMAGES)
    assert report.speedup_low <= report.speedup <= report.speedup_high
    after = [*model.buffers(), *(parameter.grad for parameter in model.parameters())]
    assert all(map(torch.equal, before, (tensor for tensor in after if tensor is not None)))


class EntersAutocast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.tail = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU())

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return self.tail(self.body(x)).float()


def test_a_model_that_enters_autocast_is_fused_inside_the_same_and_told_so_outside():
    x = torch.randn(4, 3, 9, 9)
    _, outside = normwise.accelerate(EntersAutocast(), x)
    (reason,) = (layer.reason for layer in outside.layers if layer.activation is None)
    assert "call accelerate inside the same autocast" in reason
    with torch.autocast("cpu", torch.bfloat16):
        _, inside = normwise.accelerate(EntersAutocast(), x)
    assert [layer.activation for layer in inside.layers] == ["relu", "relu"]
