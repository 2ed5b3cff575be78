"""Properties that conversion keeps: parameters, statistics, hooks, ties, modes, attributes and an optimiser's state."""

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

import normwise
from normwise.errors import ModelError
from normwise.models import build
from tests.support.layers import new_layer

X = 2 + torch.randn(8, 4, 6, generator=torch.Generator().manual_seed(0))
ALL = ["batch", "torch", "frozen", "group", "layer", "instance"]
BATCH = ["batch", "torch", "frozen"]


def _model(kind: Any = nn.BatchNorm1d) -> Any:
    """A convolution, a BN layer that stands in two places, and one that shares its γ with it."""
    torch.manual_seed(0)
    shared, other = kind(4), kind(4)
    other.weight = shared.weight
    model = nn.Sequential(nn.Conv1d(4, 4, 3, padding=1), shared, nn.Sequential(nn.Tanh(), shared), other)
    model(X)
    return model


def _other(kind: Any) -> Any:
    return normwise.nn.BatchNorm1d if kind is nn.BatchNorm1d else nn.BatchNorm1d


def _convert(model: nn.Module, to: str, **options: Any) -> Any:
    return normwise.convert(model, to, **options)[0]


@pytest.mark.parametrize("to", ALL)
@pytest.mark.parametrize("kind", [nn.BatchNorm1d, normwise.nn.BatchNorm1d], ids=["torch", "ours"])
def test_the_given_model_is_left_alone(kind: Any, to: str) -> None:
    model = _model(kind)
    kept = [(type(module), dict(vars(module))) for module in model.modules()]
    state, seed = copy.deepcopy(model.state_dict()), torch.random.get_rng_state()
    new = _convert(model, to, example=X)
    assert [(type(module), dict(vars(module))) for module in model.modules()] == kept
    torch.testing.assert_close(model.state_dict(), state, rtol=0, atol=0)
    assert torch.equal(torch.random.get_rng_state(), seed)
    assert not {id(t) for t in new.state_dict(keep_vars=True).values()} & {
        id(t) for t in model.state_dict(keep_vars=True).values()
    }


@pytest.mark.parametrize("to", ALL)
@pytest.mark.parametrize("kind", [nn.BatchNorm1d, normwise.nn.BatchNorm1d], ids=["torch", "ours"])
def test_in_place_modules_and_parameters_stay_the_same_objects(kind: Any, to: str) -> None:
    model = _model(kind)
    modules, tensors = dict(model.named_modules()), model.state_dict(keep_vars=True)
    assert _convert(model, to, example=X, inplace=True) is model
    assert dict(model.named_modules()) == modules
    for name, tensor in model.state_dict(keep_vars=True).items():
        assert tensor is tensors[name]
    assert type(model[1]) is not _other(_other(kind)) or to in ("batch", "torch")


@pytest.mark.parametrize("to", ALL)
def test_tied_layers_and_parameters_stay_tied(to: str) -> None:
    new = _convert(_model(), to, example=X)
    assert new[1] is new[2][1]
    assert new[3] is not new[1]
    assert new[3].weight is new[1].weight
    assert new[3].bias is not new[1].bias


@pytest.mark.parametrize("to", BATCH)
def test_statistics_counters_and_arguments_stay(to: str) -> None:
    model = nn.Sequential(nn.BatchNorm1d(4, eps=0.01, momentum=None), nn.BatchNorm1d(4, affine=False))
    model.append(new_layer(nn.BatchNorm1d, 4, bias=False))
    for _ in range(3):
        model(X)
    new = _convert(model, to)
    torch.testing.assert_close(new.state_dict(), model.state_dict(), rtol=0, atol=0)
    assert (new[0].eps, new[0].momentum, new[0].num_batches_tracked) == (0.01, None, 3)
    assert (new[1].affine, new[1].weight, new[2].bias) == (False, None, None)


@pytest.mark.parametrize("to", ["group", "layer", "instance"])
def test_parameters_that_are_not_there_are_not_there_afterwards(to: str) -> None:
    model = nn.Sequential(nn.BatchNorm1d(4, affine=False), new_layer(nn.BatchNorm1d, 4, bias=False, eps=0.01))
    new = _convert(model, to, example=X)
    assert (new[0].weight, new[0].bias, new[1].bias) == (None, None, None)
    assert (new[1].eps, list(new.state_dict())) == (0.01, ["1.weight"])


@pytest.mark.parametrize("to", ALL)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_types_stay(to: str, dtype: torch.dtype) -> None:
    new = _convert(_model().to(dtype), to, example=X.to(dtype))
    assert {t.dtype for t in new.state_dict().values() if t.is_floating_point()} == {dtype}
    assert new(X.to(dtype)).dtype == dtype


@pytest.mark.parametrize("to", ALL)
def test_devices_stay(to: str) -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.BatchNorm1d(4), nn.BatchNorm1d(4, affine=False))
    new = _convert(model, to)
    assert {tensor.device.type for tensor in new.state_dict().values()} <= {"meta"}


@pytest.mark.parametrize("to", ALL)
def test_modes_and_what_is_to_be_learnt_stay(to: str) -> None:
    model = nn.Sequential(nn.BatchNorm1d(4), nn.BatchNorm1d(4).eval(), nn.Dropout())
    model[1].weight.requires_grad_(False)
    new = _convert(model, to, example=X)
    if to == "frozen":
        normwise.unfreeze(new)
    assert [module.training for module in new.modules()] == [True, True, False, True]
    assert [p.requires_grad for p in new.parameters()] == [True, True, False, True]


HOOKS: dict[str, Callable[[nn.Module, Callable[..., Any]], Any]] = {
    "forward": lambda layer, note: layer.register_forward_hook(lambda *_: note()),
    "forward, keywords": lambda layer, note: layer.register_forward_hook(
        lambda module, args, kwargs, output: note(), with_kwargs=True, always_call=True
    ),
    "pre": lambda layer, note: layer.register_forward_pre_hook(lambda *_: note()),
    "pre, keywords": lambda layer, note: layer.register_forward_pre_hook(
        lambda module, args, kwargs: note(), with_kwargs=True
    ),
    "backward": lambda layer, note: layer.register_full_backward_hook(lambda *_: note()),
    "backward pre": lambda layer, note: layer.register_full_backward_pre_hook(lambda *_: note()),
    "state dict": lambda layer, note: layer.register_state_dict_post_hook(lambda *_: note()),
    "state dict pre": lambda layer, note: layer.register_state_dict_pre_hook(lambda *_: note()),
    "load": lambda layer, note: layer.register_load_state_dict_pre_hook(lambda *_: note()),
    "load post": lambda layer, note: layer.register_load_state_dict_post_hook(lambda *_: note()),
}


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("to", ALL)
@pytest.mark.parametrize("register", HOOKS.values(), ids=list(HOOKS))
def test_hooks_stay_and_can_be_removed(register: Any, to: str, inplace: bool) -> None:
    model, seen = nn.Sequential(nn.BatchNorm1d(4)), []
    handle = register(model[0], lambda: seen.append(1))
    new = _convert(model, to, example=X, inplace=inplace)

    def use() -> int:
        seen.clear()
        new(X.clone().requires_grad_()).sum().backward()
        new.load_state_dict(new.state_dict())
        return len(seen)

    assert use() == 1
    if inplace:
        handle.remove()
        assert use() == 0


@pytest.mark.parametrize("to", ALL)
def test_attributes_and_further_tensors_stay(to: str) -> None:
    model = nn.Sequential(nn.BatchNorm1d(4))
    vars(model[0])["tag"] = {"stage": 3}
    model[0].register_buffer("seen", torch.ones(1), persistent=False)
    model[0].register_buffer("kept", torch.ones(2))
    model[0].register_parameter("scale", nn.Parameter(torch.ones(3)))
    model[0].add_module("probe", nn.Identity())
    new = _convert(model, to, example=X)
    assert new[0].tag == {"stage": 3}
    assert {"0.kept", "0.scale"} <= set(new.state_dict())
    assert "0.seen" not in new.state_dict()
    assert new[0].seen == 1
    assert isinstance(new[0].probe, nn.Identity)


@pytest.mark.parametrize("to", ALL)
def test_a_model_that_is_one_layer_can_be_converted(to: str) -> None:
    layer = normwise.nn.BatchNorm1d(4) if to == "torch" else nn.BatchNorm1d(4)
    new, report = normwise.convert(layer, to, example=X, inplace=True)
    assert new is layer
    assert report.changes[0].changed
    assert str(report).startswith("the model (BatchNorm1d): ")


@pytest.mark.parametrize("to", ALL)
def test_whoever_holds_a_layer_sees_what_it_became(to: str) -> None:
    class Listed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bn = nn.BatchNorm1d(4)
            self.norms = [self.bn]

        def forward(self, x: Tensor) -> Tensor:
            return self.norms[0](x)

    model = Listed()
    kept = model.bn
    new: Any = _convert(model, to, inplace=True)
    assert new.norms[0] is new.bn is kept
    assert type(kept) is not nn.BatchNorm1d or to in ("torch", "instance")


@pytest.mark.parametrize("inplace", [False, True])
def test_statistics_do_not_move_where_a_layer_is_held_in_a_list(inplace: bool) -> None:
    class Listed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bn = nn.BatchNorm1d(4)
            self.norms = [self.bn]

        def forward(self, x: Tensor) -> Tensor:
            return self.norms[0](x)

    model = Listed()
    new = _convert(model, "batch", example=X, inplace=inplace)
    torch.testing.assert_close(new.state_dict(), Listed().state_dict(), rtol=0, atol=0)


def _saved(model: nn.Module) -> Any:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("to", ALL)
@pytest.mark.parametrize("how", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), _saved])
def test_the_result_can_be_copied_and_pickled(to: str, how: Any) -> None:
    model = nn.Sequential(normwise.nn.BatchNorm1d(4, activation="silu"), nn.BatchNorm1d(4))
    new = _convert(_convert(model, "frozen"), to, example=X)
    other = how(new)
    assert [type(module) for module in other.modules()] == [type(module) for module in new.modules()]
    assert torch.equal(other(X), new(X))
    back, expected = (_convert(m, "batch", example=X) for m in (other, new))
    assert [type(module) for module in back.modules()] == [type(module) for module in expected.modules()]
    assert back[0].activation == "silu"


def test_a_frozen_layer_with_its_activation_behind_it_can_be_pickled() -> None:
    model = nn.Sequential(normwise.nn.BatchNorm1d(4, activation="silu"))
    new = _convert(_convert(model, "torch"), "frozen")
    other = pickle.loads(pickle.dumps(new))
    assert torch.equal(other.train()(X), new(X))
    assert type(_convert(other, "batch")[0]) is normwise.nn.BatchNorm1d


@pytest.mark.usefixtures("compiler_caches_cleared")
@pytest.mark.parametrize("to", ["torch", "group", "frozen"])
def test_the_result_can_be_compiled(to: str) -> None:
    model = nn.Sequential(normwise.nn.BatchNorm1d(4, activation="relu"), nn.Linear(6, 6))
    new = _convert(model, to, example=X)
    compiled: Any = torch.compile(new, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(X), copy.deepcopy(new)(X))


OPTIMIZERS: dict[str, Callable[[nn.Module], Optimizer]] = {
    "momentum": lambda model: SGD(model.parameters(), lr=0.05, momentum=0.9),
    "adam": lambda model: Adam(model.parameters(), lr=0.05),
}


def _train(model: nn.Module, optimizer: Optimizer, steps: int = 3) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        model(X).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=list(OPTIMIZERS))
def test_an_optimiser_goes_on_as_it_would_have(make: Any, inplace: bool) -> None:
    straight, model = _model(), _model()
    optimizer, moving = make(straight), make(model)
    _train(straight, optimizer, 6)
    _train(model, moving)
    left = copy.deepcopy(model.state_dict())
    new = _convert(
        _convert(model, "batch", optimizer=moving, inplace=inplace),
        "torch",
        optimizer=moving,
        inplace=inplace,
    )
    _train(new, moving)
    torch.testing.assert_close(new.state_dict(), straight.state_dict(), rtol=0, atol=0)
    if not inplace:
        torch.testing.assert_close(model.state_dict(), left, rtol=0, atol=0)


def test_an_optimiser_trains_the_other_norm() -> None:
    model = _model()
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
    _train(model, optimizer)
    buffer = optimizer.state[model[1].weight]["momentum_buffer"]
    new = _convert(model, "group", optimizer=optimizer)
    assert optimizer.state[new[1].weight]["momentum_buffer"] is buffer
    before = copy.deepcopy(new.state_dict())
    _train(new, optimizer, 1)
    assert all(
        not torch.equal(new.state_dict()[f"{path}.weight"], before[f"{path}.weight"]) for path in "013"
    )


class _Telling(nn.Module):
    """A forward pass that depends on the class of a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x) * (2 if type(self.norm) is normwise.nn.BatchNorm1d else 1)


@pytest.mark.parametrize("inplace", [False, True])
def test_where_it_fails_model_and_optimiser_are_as_they_were(inplace: bool) -> None:
    model = _model()
    model.append(_Telling())
    normwise.freeze(model, parameters=True)
    optimizer = SGD(model.parameters(), lr=0.1)
    groups = [id(p) for p in optimizer.param_groups[0]["params"]]
    kept = [(type(module), dict(vars(module))) for module in model.modules()]
    requires = [parameter.requires_grad for parameter in model.parameters()]
    with pytest.raises(ModelError, match=r"outputs of the converted model differ by .* The model is left"):
        normwise.convert(model, "batch", example=X, optimizer=optimizer, inplace=inplace)
    assert [(type(module), dict(vars(module))) for module in model.modules()] == kept
    assert [parameter.requires_grad for parameter in model.parameters()] == requires
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == groups


def test_accelerated_models_go_back_to_torch() -> None:
    example = torch.randn(2, 3, 8, 8)
    model = build("resnet", (3, 8, 8), 10, depth=8)
    new, report = normwise.convert(model, "torch", example=example)
    assert not report.alters
    assert not any(type(module).__module__ == "normwise.nn.batch_norm" for module in new.modules())
    assert list(new.state_dict()) == list(model.state_dict())
