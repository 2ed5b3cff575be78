"""Forward passes with side effects are left unchanged, and the report says why."""

import logging
import random
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import normwise

IMAGES = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))
FLAG = False
SEEN: list[float] = []
log = logging.getLogger("normwise.tests")


class Config:
    double = False


class Lambda(nn.Module):
    """A model whose forward pass is the function ``how``."""

    scale = 1.0

    def __init__(self, how: Callable[..., Any]) -> None:
        super().__init__()
        self.bn, self.act, self.how = nn.BatchNorm2d(3), nn.ReLU(), how
        self.calls, self.kept, self.table = 0, [], {}
        self.register_buffer("steps", torch.zeros(()))
        self.register_buffer("average", torch.zeros(3))
        self.constant = torch.ones(3, 1, 1)
        self.bound = partial(torch.mul, other=2)

    def forward(self, x: Tensor, *more: Any, **named: Any) -> Any:
        return self.how(self, x, *more, **named)


def counts(m: Any, x: Tensor) -> Tensor:
    m.calls += 1
    return m.act(m.bn(x))


def counts_in_a_buffer(m: Any, x: Tensor) -> Tensor:
    m.steps += 1
    return m.act(m.bn(x))


def keeps_features(m: Any, x: Tensor) -> Tensor:
    m.features = m.bn(x)
    return m.act(m.features)


def appends(m: Any, x: Tensor) -> Tensor:
    m.kept.append(1)
    return m.act(m.bn(x))


def writes_an_item(m: Any, x: Tensor) -> Tensor:
    m.table["x"] = 1
    return m.act(m.bn(x))


def averages(m: Any, x: Tensor) -> Tensor:
    y = m.act(m.bn(x))
    with torch.no_grad():
        m.average.mul_(0.5).add_(y.mean((0, 2, 3)))
    return y


def sets_a_global(m: Any, x: Tensor) -> Tensor:
    global FLAG
    FLAG = False
    return m.act(m.bn(x))


def appends_to_a_global(m: Any, x: Tensor) -> Tensor:
    SEEN.append(1.0)
    return m.act(m.bn(x))


def logs(m: Any, x: Tensor) -> Tensor:
    log.debug("a step")
    return m.act(m.bn(x))


def warns(m: Any, x: Tensor) -> Tensor:
    warnings.warn("a step", stacklevel=1)
    return m.act(m.bn(x))


def prints(m: Any, x: Tensor) -> Tensor:
    print("a step")
    return m.act(m.bn(x))


def without_gradients(m: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        return m.act(m.bn(x))


@torch.no_grad()
def decorated(m: Any, x: Tensor) -> Tensor:
    return m.act(m.bn(x))


def without_autocast(m: Any, x: Tensor) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        return m.act(m.bn(x))


def checkpointed(m: Any, x: Tensor) -> Tensor:
    return checkpoint(lambda x: m.act(m.bn(x)), x, use_reentrant=False)


def tries(m: Any, x: Tensor) -> Tensor:
    try:
        return m.act(m.bn(x))
    except RuntimeError:
        return x


def draws_in_python(m: Any, x: Tensor) -> Tensor:
    return x if random.random() < 0.3 else m.act(m.bn(x))


def draws_in_numpy(m: Any, x: Tensor) -> Tensor:
    return x if np.random.rand() < 0.3 else m.act(m.bn(x))  # noqa: NPY002 (what people write)


def draws_in_torch(m: Any, x: Tensor) -> Tensor:
    return x if m.training and torch.rand(()) < 0.3 else m.act(m.bn(x))


def adds_noise(m: Any, x: Tensor) -> Tensor:
    return m.act(m.bn(x)) + torch.randn(3, 1, 1)


def asks_for_a_type(m: Any, x: Tensor) -> Tensor:
    return m.act(m.bn(x if isinstance(x, Tensor) else x[0]))


def asks_for_a_class(m: Any, x: Tensor) -> Tensor:
    return m.act(m.bn(x if type(x) is Tensor else x[0]))


def asks_for_identity(m: Any, x: Tensor) -> Tensor:
    y = m.bn(x)
    return m.act(y) if y is not x else y


def asks_a_global(m: Any, x: Tensor) -> Tensor:
    return m.bn(x) if FLAG else m.act(m.bn(x))


def asks_a_class(m: Any, x: Tensor) -> Tensor:
    return m.bn(x) if Config.double else m.act(m.bn(x))


def asks_for_gradients(m: Any, x: Tensor) -> Tensor:
    return m.act(m.bn(x)) if torch.is_grad_enabled() else m.bn(x).relu()


def reads_a_list(m: Any, x: Tensor) -> Tensor:
    return m.act(m.bn(x)) if m.kept else m.bn(x).relu()


def reads_a_plain_tensor(m: Any, x: Tensor) -> Tensor:
    return m.act(m.bn(x)) * m.constant


def calls_an_object(m: Any, x: Tensor) -> Tensor:
    return m.bound(m.act(m.bn(x)))


def yields(m: Any, x: Tensor) -> Tensor:
    return sum(m.act(m.bn(x)) for _ in range(2))  # pyright: ignore[reportReturnType]


EFFECTS = [
    (counts, "sets an attribute"),
    (counts_in_a_buffer, "sets an attribute"),
    (keeps_features, "sets an attribute"),
    (appends, "'kept', a list, which may change"),
    (writes_an_item, "writes an item"),
    (averages, "enters a context"),
    (sets_a_global, "sets a global variable"),
    (appends_to_a_global, "reads the global 'SEEN'"),
    (logs, "reads the global 'log'"),
    (warns, "reads the global 'warn'"),
    (prints, "reads the global 'print'"),
    (without_gradients, "enters a context"),
    (decorated, "it calls torch.utils._contextlib"),
    (without_autocast, "enters a context"),
    (checkpointed, "it calls torch."),
    (tries, "handles exceptions"),
    (draws_in_python, "reads the global 'random'"),
    (draws_in_numpy, "reads the global 'rand'"),
    (draws_in_torch, "it calls rand on no value that its input decides"),
    (adds_noise, "it calls randn on no value that its input decides"),
    (asks_for_a_type, "reads the global 'isinstance'"),
    (asks_for_a_class, "reads the global 'type'"),
    (asks_for_identity, "compares objects by 'is'"),
    (asks_a_global, "reads the global 'FLAG'"),
    (asks_a_class, "reads the global 'double'"),
    (asks_for_gradients, "reads the global 'is_grad_enabled'"),
    (reads_a_list, "'kept', a list, which may change"),
    (reads_a_plain_tensor, "'constant', a Tensor, which may change"),
    (calls_an_object, "'bound', a partial, which may change"),
    (yields, "uses a generator"),
]


@pytest.mark.filterwarnings("ignore:a step")
@pytest.mark.parametrize(("how", "reason"), EFFECTS, ids=[how.__name__ for how, _ in EFFECTS])
def test_a_forward_pass_that_does_more_than_calls_is_left(how: Any, reason: str) -> None:
    new, report = normwise.accelerate(Lambda(how), IMAGES)
    (change,) = report.layers
    assert change.replaced
    assert change.activation is None
    assert change.reason.startswith("of Lambda: ")
    assert reason in change.reason
    assert type(new) is Lambda


def forward_of(how: Any, *examples: Any, **settings: Any) -> tuple[Any, Any]:
    """A model and its accelerated copy, of which the activation was fused."""
    model = Lambda(how)
    for name, value in settings.items():
        setattr(model, name, value)
    new, report = normwise.accelerate(model, *examples)
    assert report.layers[0].activation == "relu"
    return model.eval(), new.eval()


def test_an_argument_that_is_none_decides_at_each_call() -> None:
    def how(m: Any, x: Tensor, extra: Tensor | None = None) -> Tensor:
        y = m.act(m.bn(x))
        return y if extra is None else y * extra

    for example in (IMAGES, {"x": IMAGES, "extra": torch.tensor(2.0)}):
        model, new = forward_of(how, example)
        torch.testing.assert_close(new(IMAGES), model(IMAGES))
        torch.testing.assert_close(new(IMAGES, torch.tensor(3.0)), model(IMAGES, torch.tensor(3.0)))
        torch.testing.assert_close(new(x=IMAGES, extra=torch.tensor(3.0)), 3 * model(IMAGES))


@pytest.mark.parametrize("value", [True, False, 2, 2.0, "double"])
def test_a_constant_argument_decides_at_each_call(value: Any) -> None:
    def how(m: Any, x: Tensor, flag: Any = None) -> Tensor:
        y = m.act(m.bn(x))
        return y * 2 if flag else y

    model, new = forward_of(how, {"x": IMAGES, "flag": value})
    for flag in (value, not value, None):
        torch.testing.assert_close(new(x=IMAGES, flag=flag), model(x=IMAGES, flag=flag))


def test_an_attribute_that_is_set_later_decides() -> None:
    model, new = forward_of(lambda m, x: m.act(m.bn(x)) * 2 if m.flag else m.act(m.bn(x)), IMAGES, flag=True)
    for flag in (False, True, 1, None):
        model.flag = new.flag = flag
        torch.testing.assert_close(new(IMAGES), model(IMAGES))


def test_an_attribute_of_the_class_that_is_set_later_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    model, new = forward_of(lambda m, x: m.act(m.bn(x)) * m.scale, IMAGES)
    new.scale = 3.0
    torch.testing.assert_close(new(IMAGES), 3 * model(IMAGES))
    del new.scale
    monkeypatch.setattr(Lambda, "scale", 2.0)
    torch.testing.assert_close(new(IMAGES), model(IMAGES))


def test_an_attribute_of_a_child_that_is_set_later_decides() -> None:
    model, new = forward_of(lambda m, x: m.act(m.bn(x)) * m.other.factor, IMAGES, other=Scaled())
    new.other.factor = 5.0
    torch.testing.assert_close(new(IMAGES), 5 / 2 * model(IMAGES))


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = 2.0


def test_a_function_that_is_exchanged_later_is_called() -> None:
    model, new = forward_of(lambda m, x: m.f(m.bn(x)), IMAGES, f=F.relu)
    model.f = new.f = F.softplus
    torch.testing.assert_close(new(IMAGES), model(IMAGES))


def test_a_helper_and_a_method_are_followed_too() -> None:
    class Helped(Lambda):
        def forward(self, x: Tensor) -> Tensor:
            return self.finish(self.bn(x))

        def finish(self, x: Tensor) -> Tensor:
            return helper(x)

    model = Helped(None)  # pyright: ignore[reportArgumentType]
    new: Any
    new, report = normwise.accelerate(model, IMAGES)
    assert report.layers[0].activation == "relu"
    new.finish = lambda x: x
    torch.testing.assert_close(new.eval()(IMAGES), model.eval().bn(IMAGES))


def helper(x: Tensor) -> Tensor:
    return torch.relu(x)


def test_an_operation_in_place_stays_in_place() -> None:
    def how(m: Any, x: Tensor) -> Tensor:
        x += 1
        return m.act(m.bn(x))

    model, new = forward_of(how, IMAGES)
    first, second = IMAGES.clone(), IMAGES.clone()
    torch.testing.assert_close(new(first), model(second))
    assert torch.equal(first, IMAGES + 1)


@pytest.mark.parametrize(
    "how",
    [
        lambda m, x: (h := x * 1, y := m.bn(h), h.zero_(), m.act(y))[-1],
        lambda m, x: (h := x * 1, y := m.bn(h.view(4, 3, 6, 6)), h.zero_(), m.act(y))[-1],
        lambda m, x: (r := x * 1, y := m.bn(x) + r, r.zero_(), m.act(y))[-1],
        lambda m, x: (y := m.bn(x), x.detach().zero_(), m.act(y))[-1],
        lambda m, x: (h := x * 1, y := m.bn(h), F.relu(h, True), m.act(y))[-1],
        lambda m, x: (h := x * 1, y := m.bn(h), h.__iadd__(1), m.act(y))[-1],
    ],
    ids=["input", "view of the input", "addend", "argument", "inplace by position", "iadd"],
)
def test_what_is_overwritten_before_the_activation_is_read_before(how: Any) -> None:
    # With parameters that learn, autograd itself refuses most of these.
    model = Lambda(how).requires_grad_(False)
    new, report = normwise.accelerate(model, IMAGES)
    assert report.layers[0].activation is None
    assert report.layers[0].reason == "what it reads may be overwritten before the activation"
    torch.testing.assert_close(new.eval()(IMAGES.clone()), model.eval()(IMAGES.clone()))
