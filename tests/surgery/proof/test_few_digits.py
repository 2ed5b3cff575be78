"""Proofs of surgery where autocast leaves few digits: rounding is let pass, and a fault is found."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import normwise
from normwise.errors import ModelError
from normwise.surgery import remove_biases
from normwise.surgery.core.shadow_copy import shadow_copy
from normwise.surgery.proof.compare import differences

HALVES = [torch.bfloat16, torch.float16]
X = torch.randn(8, 3, 10, 10, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.bn1, self.bn2 = (nn.BatchNorm2d(channels) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + x)


class Net(nn.Module):
    """A residual network that was trained, to go by its statistics; it may enter autocast itself."""

    def __init__(self, autocast: torch.dtype | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.autocast = autocast
        self.stem, self.bn = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.blocks = nn.Sequential(Block(8), Block(8), Block(8))
        self.head = nn.Linear(8, 5)
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.normal_(layer.bias)
                nn.init.normal_(layer.get_buffer("running_mean"))
                nn.init.uniform_(layer.get_buffer("running_var"), 0.5, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", self.autocast, enabled=self.autocast is not None):
            return self._computed(x)

    def _computed(self, x: Tensor) -> Tensor:
        x = self.blocks(F.relu(self.bn(self.stem(x))))
        return self.head(x.mean((2, 3)))


class Plain(Net):
    forward = Net._computed


def with_scale(layer: nn.BatchNorm2d, x: Tensor) -> Tensor:
    weight = 1.05 * layer.weight
    return F.batch_norm(
        x, layer.running_mean, layer.running_var, weight, layer.bias, layer.training, 0.1, layer.eps
    )


def with_activation(block: Block, x: Tensor) -> Tensor:
    y = F.silu(block.bn1(block.conv1(x)))
    return F.relu(block.bn2(block.conv2(y)) + x)


def without_residual(block: Block, x: Tensor) -> Tensor:
    y = F.relu(block.bn1(block.conv1(x)))
    return F.relu(block.bn2(block.conv2(y)))


FAULTS: dict[str, tuple[str, Callable[..., Tensor]]] = {
    "γ of the first layer": ("bn", with_scale),
    "γ of a layer within": ("blocks.1.bn1", with_scale),
    "γ of the last layer": ("blocks.2.bn2", with_scale),
    "activation": ("blocks.1", with_activation),
    "residual": ("blocks.0", without_residual),
}


def faulty(model: nn.Module, fault: str) -> nn.Module:
    """Return a model over the same parameters with a fault in it."""
    path, forward = FAULTS[fault]
    new = shadow_copy(model)
    module = new.get_submodule(path)
    module.__class__ = type("Faulty", (type(module),), {"forward": forward})
    return new


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_under_autocast(fault: str, dtype: torch.dtype) -> None:
    model = Plain()
    with torch.autocast("cpu", dtype), pytest.raises(ModelError, match="numbers differ"):
        differences(model, faulty(model, fault), ((X,), {}))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_in_a_model_that_enters_autocast(fault: str) -> None:
    model = Net(torch.bfloat16)
    with pytest.raises(ModelError, match="numbers differ"):
        differences(model, faulty(model, fault), ((X,), {}))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_in_a_model_of_bfloat16(fault: str) -> None:
    model = Plain().bfloat16()
    with pytest.raises(ModelError, match="numbers differ"):
        differences(model, faulty(model, fault), ((X.bfloat16(),), {}))


class OnlyInBfloat16(nn.BatchNorm2d):
    """BN whose scale is 1.2 times too large, where the input is bfloat16."""

    def forward(self, input: Tensor) -> Tensor:
        y = super().forward(input)
        return 1.2 * y if input.dtype is torch.bfloat16 else y


def test_a_fault_that_float64_does_not_show_is_found() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    new = shadow_copy(model)
    new.get_submodule("1").__class__ = OnlyInBfloat16
    with (
        torch.autocast("cpu", torch.bfloat16),
        pytest.raises(ModelError, match=r"is what rounding may do; the model is left as it was"),
    ):
        differences(model, new, ((X,), {}))


@pytest.mark.parametrize("dtype", HALVES)
def test_accelerate_takes_over_all_that_it_does_without_autocast(dtype: torch.dtype) -> None:
    _, expected = normwise.accelerate(Plain(), X)
    model = Plain()
    with torch.autocast("cpu", dtype):
        new, report = normwise.accelerate(model, X)
        output = new.eval()(X)
    assert report.layers == expected.layers
    assert all(layer.activation == "relu" for layer in report.layers)
    assert output.dtype is dtype


def test_accelerate_replaces_layers_of_a_model_that_enters_autocast() -> None:
    new, report = normwise.accelerate(Net(torch.bfloat16), X)
    assert all(layer.replaced for layer in report.layers)
    assert isinstance(new.get_submodule("blocks.0.bn1"), normwise.nn.BatchNorm2d)


OPERATIONS: dict[str, Callable[[nn.Module], tuple[nn.Module, object]]] = {
    "fold": lambda model: normwise.fold(model, X, timed=False),
    "convert to ours": lambda model: normwise.convert(model, "batch", example=X),
    "convert to frozen": lambda model: normwise.convert(model, "frozen", example=X),
    "remove_biases": lambda model: remove_biases(model, X),
}


@pytest.mark.parametrize("entered", ["around the call", "by the model"])
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations_do_under_autocast_what_they_do_without(
    operation: str, dtype: torch.dtype, entered: str
) -> None:
    by_model = entered == "by the model"
    model = Net(dtype) if by_model else Plain()
    model.eval()
    with torch.autocast("cpu", dtype, enabled=not by_model):
        new, _ = OPERATIONS[operation](copy.deepcopy(model))
    expected, _ = OPERATIONS[operation](copy.deepcopy(Plain().eval()))
    torch.testing.assert_close(new.state_dict(), expected.state_dict())


def test_insert_works_under_autocast() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5)
    )
    with torch.autocast("cpu", torch.bfloat16):
        _, report = normwise.insert(model, X, data=[X])
    assert 0 < report.output_error < 0.05


def test_a_fold_that_goes_wrong_under_autocast_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from normwise.surgery.fold import new_weights

    right = new_weights.scale_and_shift
    monkeypatch.setattr(
        new_weights, "scale_and_shift", lambda layer: (1.05 * right(layer)[0], right(layer)[1])
    )
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(ModelError, match=r"and 3\.5e-04 is allowed"):
        normwise.fold(Plain().eval(), X, timed=False)


def test_a_tolerance_of_the_user_holds_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(ModelError, match=r"and 1\.0e-06 is allowed"):
        normwise.fold(Plain().eval(), X, tolerance=1e-6, timed=False)


def test_a_model_can_be_trained_after_surgery_within_the_same_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        new, _ = normwise.accelerate(Plain(), X)
        new(X).float().square().sum().backward()
    assert all(parameter.grad is not None for parameter in new.parameters())


def test_surgery_leaves_no_converted_weights_in_the_cache_of_autocast() -> None:
    model = Plain()
    with torch.autocast("cpu", torch.bfloat16):
        normwise.accelerate(model, X)
        with torch.no_grad():
            model.head.weight.zero_()
            model.head.bias.zero_()
        assert model(X).abs().max() == 0


class Casting(nn.Module):
    """A model that can't compute in float64, as it casts by itself."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.bn = nn.Conv2d(3, 8, 3).bfloat16(), nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x.bfloat16())))


def test_a_model_that_can_not_compute_in_float64_is_compared_in_its_own_type() -> None:
    _, report = normwise.accelerate(Casting(), X)
    assert report.layers[0].activation == "relu"
