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
from tests.support.faulty_networks import FAULTS, Block, Net, Plain, faulty

HALVES = [torch.bfloat16, torch.float16]
X = torch.randn(8, 3, 10, 10, generator=torch.Generator().manual_seed(0))


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


@pytest.mark.parametrize("accelerated", ["with autocast", "without"])
def test_an_accelerated_model_promotes_types_under_autocast_as_before(accelerated: str) -> None:
    # A residual that is the input stays float32, and what is added to it is a half.
    torch.manual_seed(0)
    model, x = Block(8), torch.randn(4, 8, 6, 6)
    with torch.autocast("cpu", torch.bfloat16, enabled=accelerated == "with autocast"):
        new, _ = normwise.accelerate(model, x)
    with torch.autocast("cpu", torch.bfloat16):
        expected, got = model(x), new(x)
    assert got.dtype is expected.dtype is torch.float32
    torch.testing.assert_close(got, expected, rtol=0.05, atol=0.05)


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
    found = differences(Casting(), Shifted(), ((X,), {}))
    assert found.left_out.startswith("numbers in float64, by which a small fault is told from the rounding")
    assert found.left_out.count("float64") == 1


class Shifted(Casting):
    """The same, by one unit of the last digit."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (1 + 2**-7)
