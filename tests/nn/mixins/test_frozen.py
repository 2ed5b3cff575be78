"""A frozen layer: what it computes, what it keeps, and that thawing leaves no trace."""

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

import normwise
from normwise.nn.mixins.frozen import freeze_layer, is_frozen, unfreeze_layer

X = 2 + 3 * torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))


class Doubling(nn.BatchNorm2d):
    """A subclass with a forward and a child of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.drop = nn.Dropout(0.5)

    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


def _trained(layer: _BatchNorm) -> Any:
    for step in range(3):
        layer(X + step)
    return layer


LAYERS: dict[str, Callable[[], _BatchNorm]] = {
    "torch": lambda: nn.BatchNorm2d(3),
    "ours": lambda: normwise.nn.BatchNorm2d(3),
    "activated": lambda: normwise.nn.BatchNorm2d(3, activation="relu"),
    "without affine": lambda: nn.BatchNorm2d(3, affine=False),
    "subclass": lambda: Doubling(3),
}


@pytest.fixture(params=LAYERS.values(), ids=list(LAYERS))
def layer(request) -> Any:
    """Each kind of layer, with statistics from three batches, in training."""
    return _trained(request.param())


def _state(layer: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in layer.state_dict().items()}


def _assert_state(layer: nn.Module, expected: dict[str, Tensor]) -> None:
    assert list(layer.state_dict()) == list(expected)
    for name, tensor in layer.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_it_computes_in_training_what_it_computed_in_evaluation(layer: Any) -> None:
    expected, state = copy.deepcopy(layer).eval()(X), _state(layer)
    freeze_layer(layer)
    assert torch.equal(layer.train()(X), expected)
    assert torch.equal(layer.eval()(X), expected)
    _assert_state(layer, state)


def test_it_is_still_an_instance_of_its_class_and_shows_it(layer: Any) -> None:
    kind, said = type(layer), repr(layer)
    freeze_layer(layer)
    assert is_frozen(layer)
    assert isinstance(layer, kind)
    assert repr(layer) == f"Frozen{said}"


@pytest.mark.parametrize("parameters", [False, True])
def test_thawing_leaves_no_trace(layer: Any, parameters: bool) -> None:
    kind, kept, state = type(layer), dict(vars(layer)), _state(layer)
    requires = [parameter.requires_grad for parameter in layer.parameters()]
    freeze_layer(layer, parameters=parameters)
    layer(X)
    unfreeze_layer(layer)
    assert type(layer) is kind
    assert vars(layer) == kept
    assert [parameter.requires_grad for parameter in layer.parameters()] == requires
    _assert_state(layer, state)


def test_thawed_it_goes_on_learning(layer: Any) -> None:
    other = copy.deepcopy(layer)
    freeze_layer(layer)
    layer(X)
    unfreeze_layer(layer)
    torch.manual_seed(0)
    expected = other(X)
    torch.manual_seed(0)
    assert torch.equal(layer(X), expected)
    _assert_state(layer, _state(other))


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize(
    "ask", [lambda layer, mode: layer.train(mode), lambda layer, mode: setattr(layer, "training", mode)]
)
def test_thawed_it_has_the_mode_that_it_was_asked_for(layer: Any, ask: Any, asked: bool) -> None:
    freeze_layer(layer.train(not asked))
    ask(layer, asked)
    assert not layer.training
    unfreeze_layer(layer)
    assert layer.training is asked


def test_children_of_a_subclass_keep_their_modes() -> None:
    layer = _trained(Doubling(3))
    layer.drop.eval()
    freeze_layer(layer)
    assert not layer.drop.training
    assert layer.train().drop.training
    unfreeze_layer(layer)
    assert layer.drop.training


def test_freezing_twice_is_freezing_once(layer: Any) -> None:
    layer.weight.requires_grad_(False) if layer.affine else None
    kind, requires = type(layer), [parameter.requires_grad for parameter in layer.parameters()]
    freeze_layer(layer)
    freeze_layer(layer, parameters=True)
    freeze_layer(layer, parameters=True)
    assert not any(parameter.requires_grad for parameter in layer.parameters())
    unfreeze_layer(layer)
    assert type(layer) is kind
    assert [parameter.requires_grad for parameter in layer.parameters()] == requires
    unfreeze_layer(layer)
    assert type(layer) is kind


def test_without_its_parameters_it_still_learns_them() -> None:
    layer = _trained(nn.BatchNorm2d(3))
    freeze_layer(layer)
    layer(X).square().sum().backward()
    assert layer.weight.grad.abs().min() > 0


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_no_optimiser_moves_frozen_parameters(make: Any) -> None:
    layer, head = _trained(nn.BatchNorm2d(3)), nn.Conv2d(3, 1, 1)
    options: dict[str, Any] = {"momentum": 0.9} if make is torch.optim.SGD else {}
    optimizer = make([*layer.parameters(), *head.parameters()], lr=0.1, weight_decay=0.1, **options)
    head(layer(X)).sum().backward()
    optimizer.step()
    state = _state(layer)
    freeze_layer(layer, parameters=True)
    before = head.weight.clone()
    head(layer(X)).sum().backward()
    optimizer.step()
    _assert_state(layer, state)
    assert not torch.equal(head.weight, before)


def _saved(layer: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda layer: pickle.loads(pickle.dumps(layer)),
    "oldest pickle": lambda layer: pickle.loads(pickle.dumps(layer, protocol=0)),
    "torch.save": _saved,
}


@pytest.mark.parametrize("how", COPIES.values(), ids=list(COPIES))
def test_copies_are_frozen_and_can_be_thawed(how: Callable[[Any], Any]) -> None:
    # Not a layer of this file: what pytest imports as it does here can't be pickled.
    layer = _trained(normwise.nn.BatchNorm2d(3, activation="relu"))
    freeze_layer(layer, parameters=True)
    other = how(layer)
    assert type(other) is type(layer)
    assert torch.equal(other.train()(X), layer(X))
    unfreeze_layer(other)
    assert type(other) is normwise.nn.BatchNorm2d
    assert other.training
    assert other.weight.requires_grad
    assert is_frozen(layer)


def test_state_is_loaded_from_and_into_frozen_layers() -> None:
    trained, fresh = _trained(nn.BatchNorm2d(3)), nn.BatchNorm2d(3)
    freeze_layer(fresh)
    fresh.load_state_dict(trained.state_dict())
    _assert_state(fresh, _state(trained))
    assert torch.equal(fresh.train()(X), trained.eval()(X))
    thawed = nn.BatchNorm2d(3)
    thawed.load_state_dict(fresh.state_dict())
    _assert_state(thawed, _state(trained))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.usefixtures("compiler_caches_cleared")
def test_a_compiled_layer_stays_frozen(backend: str) -> None:
    layer = _trained(normwise.nn.BatchNorm2d(3))
    compiled: Any = torch.compile(layer, backend=backend, fullgraph=True)
    moved = compiled(X)
    freeze_layer(layer)
    state, expected = _state(layer), layer(X)
    assert not torch.equal(moved, expected)
    torch.testing.assert_close(compiled.train()(X), expected)
    _assert_state(layer, state)
    unfreeze_layer(layer)
    compiled.train()(X)
    assert layer.num_batches_tracked == state["num_batches_tracked"] + 1


def test_a_synchronised_layer_freezes_on_a_cpu() -> None:
    layer = nn.SyncBatchNorm(3)
    expected = layer.eval()(X)
    freeze_layer(layer.train())
    assert torch.equal(layer.train()(X), expected)
