"""A diagnosis leaves everything bit for bit as it was, whatever it is given, and whatever raises."""

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import normwise
from normwise.errors import DataError, ModelError
from tests.support.model_kinds import SUBJECTS, Network, Subject
from tests.support.model_state import state_of
from tests.support.networks import draw_network
from tests.support.untouched import everything_of

_X, _Y = torch.randn(32, 3, 6, 6, generator=torch.Generator().manual_seed(1)), torch.arange(32) % 2
_LOADER = [(_X[i : i + 8], _Y[i : i + 8]) for i in range(0, 32, 8)]


def _network() -> nn.Module:
    return SUBJECTS[0].model()


def _trained_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """An optimiser with state, which leaves the gradients as they are."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    for _ in range(2):
        optimizer.step()
    return optimizer


def _all_of(model: nn.Module, optimizer: Any = None, loss: Any = None) -> Any:
    return state_of(model), everything_of(model, optimizer, loss), random.getstate()


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_every_kind_of_model_is_left_as_it_was(subject: Subject) -> None:
    model, example = subject.model(), subject.example()
    optimizer = _trained_optimizer(model)
    batch = example | {"labels": torch.arange(4)} if isinstance(example, dict) else (example, torch.arange(4))
    if isinstance(example, tuple):
        batch = example

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return output.float().square().mean()

    before = _all_of(model, optimizer)
    normwise.diagnose(model, [batch, batch], loss=loss, optimizer=optimizer)
    assert _all_of(model, optimizer) == before


@pytest.mark.parametrize("training", [True, False])
def test_a_model_in_either_mode_is_left_as_it_was(training: bool) -> None:
    model = _network().train(training)
    before = _all_of(model)
    normwise.diagnose(model, _LOADER, loss=nn.CrossEntropyLoss())
    assert _all_of(model) == before


class _LossWithState(nn.Module):
    """A loss with a running mean, as losses with centres have."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(2))
        self.weight = nn.Parameter(torch.ones(2))
        self.calls = 0

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        self.calls += 1
        self.centre = 0.9 * self.centre + 0.1 * output.detach().mean(0)
        return F.cross_entropy(output * self.weight - self.centre, target)


def test_a_loss_with_buffers_and_parameters_is_left_as_it_was() -> None:
    model, loss = _network(), _LossWithState()
    loss.weight.grad = torch.full((2,), 3.0)
    optimizer = torch.optim.SGD([*model.parameters(), *loss.parameters()], 0.1, momentum=0.9)
    before = _all_of(model, optimizer, loss)
    normwise.diagnose(model, _LOADER, loss=loss, optimizer=optimizer)
    assert _all_of(model, optimizer, loss) == before


def test_a_loss_within_a_function_is_left_as_it_was() -> None:
    model, inner = _network(), _LossWithState()
    before = _all_of(model, None, inner)
    normwise.diagnose(model, _LOADER, loss=lambda output, target: inner(output, target))
    assert _all_of(model, None, inner) == before


class _CountingLoss:
    """A loss that is a plain object."""

    def __init__(self) -> None:
        self.calls, self.seen = 0, []

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        self.calls += 1
        self.seen.append(len(target))
        return F.cross_entropy(output, target)


def test_a_loss_that_is_a_plain_object_is_left_as_it_was() -> None:
    loss = _CountingLoss()
    normwise.diagnose(_network(), _LOADER, loss=loss)
    assert (loss.calls, loss.seen) == (0, [])


@pytest.mark.parametrize("given", [True, False], ids=["optimizer given", "optimizer not given"])
@pytest.mark.parametrize("set_to_none", [True, False])
def test_a_loss_that_makes_whole_steps_is_left_as_it_was(given: bool, set_to_none: bool) -> None:
    model = _network()
    optimizer = _trained_optimizer(model)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        optimizer.zero_grad(set_to_none=set_to_none)
        value = F.cross_entropy(model(batch[0]), batch[1])
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        return value

    before = _all_of(model, optimizer), scheduler.state_dict()
    diagnosis = normwise.diagnose(model, _LOADER, loss=loss, optimizer=optimizer if given else None)
    assert (_all_of(model, optimizer), scheduler.state_dict()) == before
    assert diagnosis.examination.running.loss > 0


def test_parameters_that_only_the_optimizer_has_are_left_as_they_were() -> None:
    model, other = _network(), nn.Parameter(torch.ones(3))
    other.grad = torch.ones(3)
    optimizer = torch.optim.SGD([*model.parameters(), other], 0.1)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        value = F.cross_entropy(model(batch[0]), batch[1]) + other.square().sum()
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        return value

    grad = other.grad
    normwise.diagnose(model, _LOADER, loss=loss, optimizer=optimizer)
    assert other.grad is grad
    assert other.tolist() == other.grad.tolist() == [1, 1, 1]


class _HidesLayers(nn.Module):
    """A layer in a plain list, which ``eval()`` does not reach."""

    def __init__(self) -> None:
        super().__init__()
        self.shown, self.hidden = Network(), [nn.BatchNorm2d(3)]

    def forward(self, x: Tensor) -> Tensor:
        return self.shown(self.hidden[0](x))


def test_layers_that_are_no_part_of_the_model_are_left_as_they_were() -> None:
    model = _HidesLayers().eval()
    before = _all_of(model.hidden[0])
    normwise.diagnose(model, _LOADER, loss=nn.CrossEntropyLoss())
    assert _all_of(model.hidden[0]) == before


class _RaisesAtCall(nn.Module):
    def __init__(self, error: BaseException, call: int) -> None:
        super().__init__()
        self.network, self.error, self.calls = _network(), error, itertools.count()
        self.call = call

    def forward(self, x: Tensor) -> Tensor:
        if next(self.calls) >= self.call:
            raise self.error
        return self.network(x)


@pytest.mark.parametrize("call", [0, 2, 6, 11])
def test_a_model_that_raises_at_some_call_is_left_as_it_was(call: int) -> None:
    model = _RaisesAtCall(ValueError("out of luck"), call)
    optimizer = _trained_optimizer(model)
    before = everything_of(model, optimizer)
    with pytest.raises(ModelError, match=r"batch \d \(counted from 0\): ValueError: out of luck"):
        normwise.diagnose(model, _LOADER, loss=nn.CrossEntropyLoss(), optimizer=optimizer)
    assert everything_of(model, optimizer) == before


@pytest.mark.parametrize("call", [0, 2, 6, 11])
def test_an_interrupt_in_a_forward_pass_leaves_everything_as_it_was(call: int) -> None:
    model = _RaisesAtCall(KeyboardInterrupt(), call)
    optimizer = _trained_optimizer(model)
    before = everything_of(model, optimizer)
    with pytest.raises(KeyboardInterrupt):
        normwise.diagnose(model, _LOADER, loss=nn.CrossEntropyLoss(), optimizer=optimizer)
    assert everything_of(model, optimizer) == before


class _RaisesInBackward(nn.Module):
    """A module whose backward pass is interrupted, as by Ctrl-C."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.network, self.error = _network(), error

    def forward(self, x: Tensor) -> Tensor:
        y = self.network(x)
        if y.requires_grad:
            y.register_hook(self._fail)
        return y

    def _fail(self, gradient: Tensor) -> None:
        raise self.error


def test_an_interrupt_in_a_backward_pass_leaves_everything_as_it_was() -> None:
    model = _RaisesInBackward(KeyboardInterrupt())
    optimizer = _trained_optimizer(model)
    before = everything_of(model, optimizer)
    with pytest.raises(KeyboardInterrupt):
        normwise.diagnose(model, _LOADER, loss=nn.CrossEntropyLoss(), optimizer=optimizer)
    assert everything_of(model, optimizer) == before


def test_an_error_in_a_backward_pass_leaves_everything_as_it_was() -> None:
    model = _RaisesInBackward(RuntimeError("no gradient"))
    before = everything_of(model)
    normwise.diagnose(model, _LOADER, loss=nn.CrossEntropyLoss())
    assert everything_of(model) == before


@pytest.mark.parametrize("call", [0, 3])
@pytest.mark.parametrize("error", [ValueError("no target"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_a_loss_that_raises_leaves_everything_as_it_was(error: BaseException, call: int) -> None:
    model, calls = _network(), itertools.count()

    def loss(output: Tensor, target: Tensor) -> Tensor:
        if next(calls) >= call:
            raise error
        return F.cross_entropy(output, target)

    before = _all_of(model)
    with pytest.raises((ModelError, KeyboardInterrupt)):
        normwise.diagnose(model, _LOADER, loss=loss)
    assert _all_of(model) == before


@pytest.mark.parametrize("error", [OSError("disk gone"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_data_that_raise_at_some_batch_leave_everything_as_it_was(error: BaseException) -> None:
    def batches() -> Iterator[Any]:
        yield _LOADER[0]
        torch.manual_seed(7)
        np.random.seed(7)  # noqa: NPY002
        random.seed(7)
        raise error

    model = _network()
    before = _all_of(model)
    with pytest.raises((DataError, KeyboardInterrupt)):
        normwise.diagnose(model, batches)
    assert _all_of(model) == before


def test_generators_of_a_loader_are_left_as_they_were() -> None:
    generator, numpy = torch.Generator().manual_seed(3), np.random.default_rng(0)

    def collate(samples: list[Any]) -> Any:
        noise = float(numpy.normal())
        return torch.stack([x for x, _ in samples]) + noise, torch.stack([y for _, y in samples])

    data = TensorDataset(_X, _Y)
    loader = DataLoader(data, 8, shuffle=True, generator=generator, collate_fn=collate)
    before = generator.get_state().tolist(), str(numpy.bit_generator.state), _all_of(model := _network())
    normwise.diagnose(model, loader, loss=nn.CrossEntropyLoss())
    assert (generator.get_state().tolist(), str(numpy.bit_generator.state), _all_of(model)) == before


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.optim.swa_utils.AveragedModel])
def test_wrapped_models_are_left_as_they_were(wrap: Callable[..., nn.Module]) -> None:
    model = wrap(_network())
    before = _all_of(model)
    normwise.diagnose(model, _LOADER, loss=nn.CrossEntropyLoss())
    assert _all_of(model) == before


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_random_networks_are_left_as_they_were(data: st.DataObject) -> None:
    model, example = draw_network(data, dtypes=(torch.float32,))
    assume(normwise.surgery.find(model))  # without BN there is nothing to examine, which is an error
    before = _all_of(model)
    normwise.diagnose(model, [example, example + 1])
    assert _all_of(model) == before


def test_what_a_fix_does_to_a_copy_leaves_the_model_as_it_was() -> None:
    torch.manual_seed(0)  # with one of five others the outputs hardly need the statistics
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(2))
    model(_X)
    with torch.no_grad():
        model[1].running_mean += 5  # pyright: ignore[reportOperatorIssue]
    before = _all_of(model.eval())
    healed, treatment = normwise.diagnose(model, _LOADER, loss=nn.CrossEntropyLoss()).fix()
    assert treatment.proven
    assert healed is not model
    assert _all_of(model) == before
