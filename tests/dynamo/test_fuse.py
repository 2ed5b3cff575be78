"""Replaced parts of a graph, which compute the same."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normwise.kernels.cpu import library
from tests.support.kernels.compiled import compiled, numbers_of

pytestmark = pytest.mark.usefixtures("kernels", "compiler_caches_cleared")

IMAGES = torch.randn(4, 3, 6, 5, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """Two BN layers, a convolution and whatever ``how`` does with them."""

    def __init__(self, how: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.bn, self.other = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
            self.conv = nn.Conv2d(3, 3, 1, bias=False)
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        return self.how(self, x)


def check(
    how: Any, expected: Sequence[tuple[str | None, bool]], x: Tensor = IMAGES, *, evaluates: bool = False
) -> None:
    """Assert what is replaced, and that two steps in training, and one in evaluation, give the same numbers."""
    model = Net(how)
    old = copy.deepcopy(model)
    run, found = compiled(model)
    for training in (True, True, False) if evaluates else (True, True):
        model.train(training)
        old.train(training)
        wanted = numbers_of(old, old, x)
        torch.testing.assert_close(numbers_of(model, run, x), wanted, rtol=1e-4, atol=1e-5)
    # Evaluation is a graph of its own.
    assert found == [*expected, *(expected if evaluates else ())]


@pytest.mark.parametrize(
    ("activate", "name"),
    [
        (F.relu, "relu"),
        (torch.relu, "relu"),
        (torch.relu_, "relu"),
        (lambda x: F.relu(x, inplace=True), "relu"),
        (lambda x: F.relu(x, True), "relu"),
        (lambda x: x.relu(), "relu"),
        (lambda x: x.relu_(), "relu"),
        (nn.ReLU(inplace=True), "relu"),
        (F.silu, "silu"),
        (nn.SiLU(inplace=True), "silu"),
        (F.gelu, "gelu"),
        (nn.GELU(), "gelu"),
        (F.hardswish, "hardswish"),
        (nn.Hardswish(), "hardswish"),
        (F.leaky_relu, "leaky_relu"),
        (lambda x: F.leaky_relu(x, 0.01), "leaky_relu"),
        (nn.LeakyReLU(), "leaky_relu"),
        (F.elu, "elu"),
        (nn.ELU(), "elu"),
        (torch.sigmoid, "sigmoid"),
        (nn.Sigmoid(), "sigmoid"),
        (lambda x: x.tanh(), "tanh"),
        (nn.ReLU6(), "relu6"),
        (F.relu6, "relu6"),
        (lambda x: F.hardtanh(x, 0, 6), "relu6"),
        (lambda x: F.hardtanh(x, 0, 5), None),
        (nn.Hardtanh(), None),
        (lambda x: F.leaky_relu(x, 0.2), None),
        (nn.LeakyReLU(0.2), None),
        (nn.ELU(0.5), None),
        (lambda x: F.gelu(x, approximate="tanh"), None),
        (nn.GELU("tanh"), None),
        (F.softplus, None),
        (lambda x: x.clamp(min=0), None),  # Another slope at 0.
    ],
)
def test_each_activation_is_fused_where_it_is_the_same_function(activate: Any, name: str | None) -> None:
    check(lambda m, x: activate(m.bn(x)), [(name, False)])


def _in_place(m: Any, x: Tensor) -> Tensor:
    y = m.bn(x)
    y += x
    return F.relu(y, inplace=True)


@pytest.mark.parametrize(
    "how",
    [
        lambda m, x: (m.bn(x) + x).relu(),
        lambda m, x: (x + m.bn(x)).relu(),
        lambda m, x: torch.add(m.bn(x), x).relu(),
        lambda m, x: torch.add(m.bn(x), x, alpha=1).relu(),
        lambda m, x: m.bn(x).add(x).relu(),
        lambda m, x: m.bn(x).add_(x).relu_(),
        _in_place,
    ],
)
def test_an_addition_of_equal_shapes_is_fused_with_the_activation_behind_it(how: Any) -> None:
    check(how, [("relu", True)], evaluates=True)


def _changed_in_between(m: Any, x: Tensor) -> Tensor:
    y = x * 1
    z = m.bn(y)
    y.mul_(2)
    return z.relu() + y


def _changed_before_the_addition(m: Any, x: Tensor) -> Tensor:
    y, z = x * 1, m.bn(x)
    y.mul_(2)
    return z + y


def _changed_through_a_view(m: Any, x: Tensor) -> Tensor:
    y = x * 1
    z = m.bn(y)
    y.flatten()[::2].zero_()
    return z.relu() + y


def _weight_changed(m: Any, x: Tensor) -> Tensor:
    y = m.bn(x)
    m.bn.weight.mul_(2)
    return y.relu()


def _input_changed(m: Any, x: Tensor) -> Tensor:
    y = m.bn(m.conv(x))
    x.mul_(2)
    return y.relu() + x


def _statistics_read(m: Any, x: Tensor) -> Tensor:
    y = m.bn(x)
    mean = m.bn.running_mean.clone()
    return y.relu() + mean[None, :, None, None]


def _without_gradient(m: Any, x: Tensor) -> Tensor:
    y = m.bn(x)
    with torch.no_grad():
        z = y.relu()
    return z + x


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (lambda m, x: m.bn(x) * 2, [(None, False)]),
        (lambda m, x: (y := m.bn(x)).relu() + y, [(None, False)]),
        (lambda m, x: (y := m.bn(x)) + y, [(None, False)]),
        (lambda m, x: m.bn(x) + x.mean((2, 3), keepdim=True), [(None, False)]),
        (lambda m, x: m.bn(x[:1]) + x, [(None, False)]),
        (lambda m, x: m.bn(x) + 1.0, [(None, False)]),
        (lambda m, x: torch.add(m.bn(x), x, alpha=2), [(None, False)]),
        (lambda m, x: (x * 1).add_(m.bn(x)), [(None, False)]),
        (lambda m, x: m.bn(x) + x.double(), [(None, False)]),
        (lambda m, x: F.dropout(m.bn(x), 0.0).relu(), [(None, False)]),
        (lambda m, x: m.bn(x).mul(1).relu(), [(None, False)]),
        (lambda m, x: m.bn(x) + x.to(memory_format=torch.channels_last), [(None, True)]),
        (lambda m, x: x.to(memory_format=torch.channels_last) + m.bn(x), [(None, False)]),
        (lambda m, x: m.bn(x.double().float()).relu().double(), [("relu", False)]),
        (_changed_before_the_addition, [(None, False)]),
        (_statistics_read, [(None, False)]),
        (_without_gradient, [(None, False)]),
    ],
)
def test_what_others_see_or_change_stays_apart(how: Any, expected: Any) -> None:
    check(how, expected)


@torch.library.custom_op("normwise_tests::double", mutates_args=("x",))
def _double(x: Tensor) -> Tensor:
    """Double ``x`` in place, under a name that does not tell so, and return the number of its elements."""
    x.mul_(2)
    return torch.tensor(x.numel())


@_double.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty((), dtype=torch.int64)


def _changed_by_an_operator(m: Any, x: Tensor) -> Tensor:
    y = x * 1
    z = m.bn(y)
    count = torch.ops.normwise_tests.double(y)
    return z.relu() * count


@pytest.mark.parametrize(
    "how",
    [
        _changed_by_an_operator,
        _changed_in_between,
        _changed_through_a_view,
        _changed_before_the_addition,
        _weight_changed,
        _input_changed,
    ],
)
def test_what_is_overwritten_is_read_before(how: Any) -> None:
    # Without gradients: with them autograd forbids most of it.
    model = Net(how)
    old = copy.deepcopy(model)
    run, found = compiled(model)
    with torch.no_grad():
        torch.testing.assert_close(run(IMAGES.clone()), old(IMAGES.clone()))
    torch.testing.assert_close(model.state_dict(), old.state_dict())
    assert found == [(None, False)]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        # Each layer alone moves its own statistics.
        (lambda m, x: (m.bn(x) + m.other(m.conv(x))).relu(), [("relu", True), (None, False)]),
        (lambda m, x: m.other(m.bn(x).relu()).tanh(), [("relu", False), ("tanh", False)]),
        (lambda m, x: m.bn(x) + m.other(x).relu(), [(None, True), ("relu", False)]),
        # One layer twice: the order in which its statistics move stays.
        (lambda m, x: (m.bn(x) + m.bn(m.conv(x))).relu(), [(None, False), ("relu", True)]),
        (lambda m, x: m.bn(m.bn(x).relu()), [("relu", False), (None, False)]),
    ],
)
def test_layers_in_several_places(how: Any, expected: Any) -> None:
    # In the order of the graph, in which an addition stands behind both of its operands.
    model = Net(how)
    old = copy.deepcopy(model)
    run, found = compiled(model)
    for training in (True, False, True):
        model.train(training)
        old.train(training)
        wanted = numbers_of(old, old, IMAGES)
        torch.testing.assert_close(numbers_of(model, run, IMAGES), wanted, rtol=1e-4, atol=1e-5)
    assert sorted(found, key=str) == sorted(2 * expected, key=str)


def _functions(m: Any, x: Tensor) -> Tensor:
    y = F.batch_norm(x, None, None, training=True, eps=0.1).relu()
    y = torch.batch_norm(y, m.bn.weight, None, None, None, True, 0.1, 1e-3, True).relu()
    return F.batch_norm(
        y, running_var=m.bn.running_var, running_mean=m.bn.running_mean, bias=m.bn.bias
    ).relu()


def test_functions_with_arguments_in_any_form() -> None:
    check(_functions, 3 * [("relu", False)])


@pytest.mark.parametrize("dynamic", [True, None])
def test_sizes_that_change(dynamic: bool | None) -> None:
    model = Net(lambda m, x: (m.bn(m.conv(x)) + x).relu())
    old = copy.deepcopy(model)
    run, found = compiled(model, dynamic=dynamic)
    for size in (4, 6, 9, 2):
        x = torch.randn(size, 3, size + 1, 5)
        torch.testing.assert_close(numbers_of(model, run, x), numbers_of(old, old, x), rtol=1e-4, atol=1e-5)
    assert set(found) == {("relu", True)}


def test_types_that_no_kernel_takes_are_left() -> None:
    check(lambda m, x: m.bn.double()(x.double()).relu(), [])


def test_nothing_is_replaced_without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "library", None)
    check(lambda m, x: m.bn(x).relu(), [])


def test_an_empty_batch_is_left() -> None:
    check(lambda m, x: m.bn(x).relu(), [], IMAGES[:0])


def test_a_function_transform_is_left() -> None:
    def each(m: Any, x: Tensor) -> Tensor:
        return torch.func.vmap(lambda one: F.batch_norm(one, None, None, training=True).relu())(x[None])[0]

    model = Net(each)
    run, found = compiled(model)
    torch.testing.assert_close(run(IMAGES), model(IMAGES))
    assert found == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast(dtype: torch.dtype) -> None:
    def how(m: Any, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return (m.bn(m.conv(x)) + m.conv(x)).relu()

    model = Net(how)
    old = copy.deepcopy(model)
    run, found = compiled(model)
    x = IMAGES.to(dtype)
    torch.testing.assert_close(numbers_of(model, run, x), numbers_of(old, old, x), rtol=2e-2, atol=2e-2)
    assert found == [("relu", True)]


def test_a_mode_that_changes_in_between_keeps_them_apart() -> None:
    def how(m: Any, x: Tensor) -> Tensor:
        y = m.bn(x)
        with torch.autocast("cpu", torch.bfloat16):
            return y.relu()

    check(how, [(None, False)])
