"""Models and examples on which nothing can be done are refused in one sentence that says what to do."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from normwise.errors import NormwiseError


def _on_meta(model: nn.Module) -> nn.Module:
    return model.to("meta")


def _lazy(model: nn.Module) -> nn.Module:
    return nn.Sequential(model, nn.LazyLinear(3))


def _nested(wrap: Callable[..., Any]) -> Callable[[nn.Module], nn.Module]:
    return lambda model: nn.Sequential(wrap(model))


def _script(model: nn.Module) -> Any:
    return torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval())


def _trace(model: nn.Module) -> Any:
    return torch.jit.trace(model.eval(), torch.randn(2, 3, 6, 6))


def _in_inference(model: nn.Module) -> nn.Module:
    with torch.inference_mode():
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()


MODELS: list[Any] = [
    pytest.param(torch.compile, "torch.compile; pass the model from before", id="compiled"),
    pytest.param(_nested(torch.compile), "the model's '0' is compiled", id="compiled within"),
    pytest.param(nn.DataParallel, "pass its .module", id="DataParallel"),
    pytest.param(_script, "ScriptModule", id="scripted"),
    pytest.param(_trace, "ScriptModule", id="traced"),
    pytest.param(_on_meta, "meta device", id="meta"),
    pytest.param(_lazy, "no weights yet", id="lazy"),
    pytest.param(_in_inference, "inference_mode", id="inference"),
    pytest.param(
        lambda model: "resnet18", r"expected a torch.nn.Module as the model, got str", id="a string"
    ),
]
#: What an operation can do nevertheless, as it runs nothing, or copies nothing.
ALLOWED = {
    "freeze": {"compiled", "compiled within", "DataParallel", "meta", "lazy", "inference"},
    "calibrate": {"compiled", "compiled within", "DataParallel", "lazy", "inference"},
    "convert without example": {"meta", "lazy", "inference"},
}


@pytest.mark.parametrize(("wrap", "message"), MODELS)
def test_a_model_that_nothing_can_be_done_with_is_refused(
    wrap: Callable[[Any], Any], message: str, operation: Any, network: Any, request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.id
    model = wrap(network.model())
    if any(
        kind.endswith(f"-{allowed}") or kind.startswith(f"{allowed}-")
        for allowed in ALLOWED.get(operation.name, ())
    ):
        return
    with pytest.raises(NormwiseError, match=None if operation.name == "calibrate" else message):
        operation.call(model, network.example())


EXAMPLES = [
    pytest.param(torch.full((4, 3, 6, 6), torch.nan), "without one finite number", id="NaN"),
    pytest.param(torch.full((4, 3, 6, 6), torch.inf), "without one finite number", id="infinite"),
    pytest.param(torch.empty(0, 3, 6, 6), "has no values", id="empty"),
    pytest.param(torch.empty(4, 3, 6, 6, device="meta"), "meta device", id="meta"),
    pytest.param([], "an empty list is not a batch", id="an empty list"),
    pytest.param(torch.randn(4, 5, 6, 6), "the model fails on the example", id="channels"),
]


@pytest.mark.parametrize(("example", "message"), EXAMPLES)
def test_an_example_that_proves_nothing_is_refused(
    example: Any, message: str, operation: Any, network: Any, state_of: Any
) -> None:
    if operation.name in ("freeze", "calibrate", "convert without example"):
        return
    model = network.model()
    before = state_of(model)
    with pytest.raises(NormwiseError, match=message):
        operation.call(model, example)
    assert state_of(model) == before


def test_a_model_of_which_nothing_is_finite_is_refused(operation: Any, network: Any) -> None:
    if operation.name not in ("fold", "insert", "remove_biases", "convert to torch", "convert to batch"):
        return
    model = network.model()
    nn.init.constant_(model.head[3].weight, torch.nan)
    with pytest.raises(NormwiseError, match=r"finite"):
        operation.call(model, network.example())
