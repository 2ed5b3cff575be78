"""A check of a training warns once of each problem, and leaves the training as it is."""

import copy
import io
import itertools
import pickle
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch._C._distributed_c10d import HashStore
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import normwise
from normwise.doctor import all_rules, check_every
from normwise.errors import ArgumentError, BatchNormWarning

_X, _Y = torch.randn(96, 4, generator=torch.Generator().manual_seed(0)), torch.arange(96) % 3
_POISONED = (_X[:16] * float("nan"), _Y[:16])
_BATCHES = [(_X[i : i + 16], _Y[i : i + 16]) for i in range(0, 96, 16)]


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def _sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.05)


def _step(model: nn.Module, optimizer: torch.optim.Optimizer, *batches: Any) -> None:
    """Make a step of the optimiser, for which gradients of the batches are accumulated."""
    optimizer.zero_grad()
    for x, y in batches:
        (F.cross_entropy(model(x), y) / len(batches)).backward()
    optimizer.step()


Train = Callable[[torch.optim.Optimizer], object]


def _warned(model: nn.Module, train: Train, *, n: int = 1, optimizer: Any = None) -> list[str]:
    """Texts of the warnings of a training that is checked."""
    optimizer = optimizer or _sgd(model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with check_every(n, model, optimizer) as check:
            train(optimizer)
    said = [str(one.message) for one in caught if one.category is BatchNormWarning]
    assert [text[:5] for text in said] == list(check.problems)
    return said


def _found(model: nn.Module, train: Train, **options: Any) -> list[str]:
    """Codes of the warnings."""
    return [text[:5] for text in _warned(model, train, **options)]


def _steps(model: nn.Module, *batches: Any) -> Train:
    """A step on each batch."""

    def train(optimizer: torch.optim.Optimizer) -> None:
        for batch in batches:
            _step(model, optimizer, batch)

    return train


@pytest.mark.parametrize("n", [1, 3, 100])
def test_a_sound_training_gets_no_warning(n: int) -> None:
    model = _network()
    assert _found(model, _steps(model, *_BATCHES, *_BATCHES), n=n) == []


def test_statistics_that_become_nan_are_warned_of_once_with_layer_and_fix() -> None:
    model = _network()
    (said,) = _warned(model, _steps(model, _BATCHES[0], _POISONED, *_BATCHES))
    assert re.match(r"BN203 in BatchNorm1d '1': .* not finite.*Fix: .*normwise\.calibrate.* \(step 1\)", said)


def test_the_first_layer_that_is_called_is_named_first() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.first = nn.BatchNorm1d(4), nn.BatchNorm1d(4)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.first(x))[:, :3]

    model = Backwards()
    (said,) = _warned(model, _steps(model, _POISONED))
    assert said.startswith("BN203 in BatchNorm1d 'first' (so have 'last'): ")


@pytest.mark.parametrize("n", [1, 1000])
def test_one_value_a_channel_is_warned_of_before_torch_raises(n: int) -> None:
    model = _network()

    def train(optimizer: torch.optim.Optimizer) -> None:
        _steps(model, *_BATCHES[:3])(optimizer)
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            _step(model, optimizer, (_X[:1], _Y[:1]))

    (said,) = _warned(model, train, n=n)
    assert re.match(r"BN501 in BatchNorm1d '1': .*drop_last=True", said)


def test_frozen_parameters_whose_statistics_move_are_warned_of() -> None:
    model = _network()
    model[1].requires_grad_(False)
    assert _found(model, _steps(model, *_BATCHES)) == ["BN303"]


def test_layers_that_the_optimizer_lacks_count_as_frozen() -> None:
    model = _network()
    optimizer = torch.optim.SGD(model[3].parameters(), 0.05)
    assert _found(model, _steps(model, _BATCHES[0]), optimizer=optimizer) == ["BN303"]


def test_a_layer_that_is_frozen_whole_gets_no_warning() -> None:
    model = _network()
    model[1].requires_grad_(False).eval()
    assert _found(model, _steps(model, *_BATCHES)) == []
    normwise.freeze(model.train())
    assert _found(model, _steps(model, *_BATCHES)) == []


def test_accumulated_gradients_are_warned_of_with_the_fix() -> None:
    model = _network()

    def train(optimizer: torch.optim.Optimizer) -> None:
        _step(model, optimizer, *_BATCHES[:3])
        _step(model, optimizer, *_BATCHES[3:])

    (said,) = _warned(model, train)
    assert re.match(r"BN504 .* 3 micro-batches .*normwise.accumulate\(model, optimizer=optimizer\)", said)


def test_accumulated_statistics_get_no_warning() -> None:
    model = _network()

    def train(optimizer: torch.optim.Optimizer) -> None:
        with normwise.accumulate(model, optimizer=optimizer):
            _step(model, optimizer, *_BATCHES[:3])
            _step(model, optimizer, *_BATCHES[3:])

    assert _found(model, train) == []


def test_passes_on_different_data_are_warned_of() -> None:
    model = _network()

    def train(optimizer: torch.optim.Optimizer) -> None:
        for x, y in _BATCHES:
            _step(model, optimizer, (x, y), (x + 5, y))  # as a discriminator gets real and false data

    assert _found(model, train) == ["BN506"]


def test_two_views_of_the_same_data_get_no_warning() -> None:
    model = _network()

    def train(optimizer: torch.optim.Optimizer) -> None:
        for (x, _), (other, _) in itertools.pairwise(_BATCHES):
            optimizer.zero_grad()
            (model(x) - model(other)).square().mean().backward()
            optimizer.step()

    assert _found(model, train) == []


def test_checkpointing_that_moves_statistics_twice_is_warned_of() -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = _network()

        def forward(self, x: Tensor) -> Tensor:
            return checkpoint(self.inner, x, use_reentrant=False)

    model = Checkpointed()
    assert _found(model, _steps(model, *_BATCHES)) == ["BN505"]


def test_a_layer_that_a_pass_calls_twice_gets_no_warning() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.norm, self.own = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.BatchNorm1d(4)

        def forward(self, x: Tensor) -> Tensor:
            return self.own(self.norm(self.one(self.norm(x)) + 9))[:, :3]

    model = Shared()
    assert _found(model, _steps(model, *_BATCHES)) == []


@pytest.mark.parametrize("set_to_none", [True, False])
def test_a_step_that_a_gradient_scaler_leaves_out_is_no_accumulation(set_to_none: bool) -> None:
    model = _network()

    def train(optimizer: torch.optim.Optimizer) -> None:
        for number, (x, y) in enumerate(_BATCHES):
            optimizer.zero_grad(set_to_none=set_to_none)
            F.cross_entropy(model(x), y).backward()
            if number != 0:
                optimizer.step()

    assert _found(model, train) == []


def test_validation_in_between_is_no_pass() -> None:
    model = _network()

    def train(optimizer: torch.optim.Optimizer) -> None:
        for batch in _BATCHES:
            _step(model, optimizer, batch)
            model.eval()
            with torch.no_grad():
                model(_X)
                model(_X[:1])
            model.train()

    assert _found(model, train) == []


def test_without_an_optimizer_training_passes_are_counted() -> None:
    model = _network()
    with warnings.catch_warnings(record=True) as caught, check_every(2, model) as check:
        warnings.simplefilter("always")
        for x, _ in (*_BATCHES[:3], _POISONED, *_BATCHES[:2]):
            model(x)
        model.eval()(_X)
    assert check.steps == 6
    assert [str(one.message)[:5] for one in caught] == ["BN203"]
    assert "(training pass 5)" in str(caught[0].message)


def test_the_training_is_bit_for_bit_what_it_is_without() -> None:
    def trained(n: int | None) -> list[list[float]]:
        model = _network()
        optimizer = torch.optim.AdamW(model.parameters(), 0.01)
        check = None if n is None else check_every(n, model, optimizer)
        for batch in _BATCHES:
            _step(model, optimizer, batch)
        if check is not None:
            check.close()
        return [tensor.flatten().tolist() for tensor in model.state_dict().values()] + [
            torch.rand(3).tolist()
        ]

    assert trained(1) == trained(2) == trained(None)


def test_close_leaves_no_hook(recwarn: pytest.WarningsRecorder) -> None:
    model = _network()
    optimizer = _sgd(model)
    check = check_every(1, model, optimizer)
    _step(model, optimizer, _BATCHES[0])
    check.close()
    assert all(not module._forward_pre_hooks for module in model.modules())
    assert not optimizer._optimizer_step_post_hooks
    check.close()
    assert not recwarn


def test_an_exception_leaves_no_hook() -> None:
    model = _network()

    def interrupted(optimizer: torch.optim.Optimizer) -> None:
        model(_X)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _found(model, interrupted)
    assert all(not module._forward_pre_hooks for module in model.modules())


def test_a_check_that_saw_nothing_says_so() -> None:
    with pytest.warns(BatchNormWarning, match="saw no step of the optimizer"):
        check_every(1, model := _network(), _sgd(model)).close()
    with pytest.warns(BatchNormWarning, match="saw no training pass"):
        check_every(1, _network()).close()


@pytest.mark.filterwarnings("ignore:check_every saw no step")
def test_a_checked_model_can_be_copied_and_saved_in_the_middle_of_a_step() -> None:
    model = _network()
    optimizer = _sgd(model)
    with check_every(1, model, optimizer) as check:
        model(_X)
        copies: list[Any] = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
        torch.save(model, file := io.BytesIO())
        file.seek(0)
        copies += [torch.load(file, weights_only=False)]
        copy.deepcopy(optimizer).step()
        pickle.loads(pickle.dumps(optimizer)).step()
        for other in copies:
            other(_X * float("nan")).sum().backward()
    assert check.steps == 0 or check.problems == {}
    assert all(not module._forward_pre_hooks for module in model.modules())


class _Wrapped(nn.Module):
    """A model that is compiled as a whole, which a sequence is not."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = _network()

    def forward(self, x: Tensor) -> Tensor:
        return 1.0 * self.inner(x)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_compiled_model_stays_compiled_and_is_checked(in_place: bool) -> None:
    torch._dynamo.reset()
    compilations = []

    def backend(graph: Any, example: Any) -> Any:
        compilations.append(graph)
        return graph.forward

    model: Any = _Wrapped()
    if in_place:
        model.compile(backend=backend)
    else:
        model = torch.compile(model, backend=backend)
    optimizer = _sgd(model)
    _step(model, optimizer, _BATCHES[0])
    assert _found(model, _steps(model, *_BATCHES, _POISONED), optimizer=optimizer) == ["BN203"]
    assert len(compilations) == 1


def test_accumulation_in_compiled_code_is_seen_by_what_the_layers_count() -> None:
    torch._dynamo.reset()
    model: Any = torch.compile(_network(), backend="eager")
    (said,) = _warned(model, lambda optimizer: _step(model, optimizer, *_BATCHES[:2]))
    assert re.match(r"BN504 .* 2 micro-batches", said)


@pytest.fixture
def one_process() -> Iterator[None]:
    """A process group of this process alone."""
    distributed.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("inner", [False, True])
def test_a_model_in_a_distributed_wrapper_is_checked(inner: bool) -> None:
    model = _network()
    wrapped = nn.parallel.DistributedDataParallel(model)
    watched = model if inner else wrapped
    (said,) = _warned(watched, lambda optimizer: _step(wrapped, optimizer, *_BATCHES[:2]))
    assert said.startswith(f"BN504 in BatchNorm1d '{'1' if inner else 'module.1'}'")


def test_layers_within_a_recurrence_are_checked() -> None:
    model = normwise.nn.BatchNormLSTM(4, 3, max_length=5)
    x, poisoned = torch.randn(5, 8, 4), torch.randn(5, 8, 4)
    poisoned[2, 1, 0] = torch.nan

    def train(optimizer: torch.optim.Optimizer, *inputs: Tensor) -> None:
        for each in inputs:
            optimizer.zero_grad()
            model(each)[0].square().mean().backward()
            optimizer.step()

    assert _found(model, lambda optimizer: train(optimizer, x, x, x)) == []
    assert _found(model, lambda optimizer: train(optimizer, x, poisoned, x)) == ["BN203"]


def test_layers_without_statistics_or_lazy_ones_are_passed_over() -> None:
    model = nn.Sequential(
        nn.LazyLinear(4), nn.LazyBatchNorm1d(), nn.BatchNorm1d(4, track_running_stats=False)
    )
    head = nn.Linear(4, 3)
    whole = nn.Sequential(model, head)
    optimizer = torch.optim.SGD(head.parameters(), 0.05)
    # Once it has channels, the lazy layer is one whose parameters nobody trains.
    assert _found(whole, _steps(whole, *_BATCHES[:3]), optimizer=optimizer) == ["BN303"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((0, _network()), "expected a number of steps from 1 on as n, got 0"),
        ((1, nn.Linear(2, 2)), "Linear has no BN layer"),
        ((1, "model"), "expected a torch.nn.Module as the model, got str"),
        ((1, _network(), "sgd"), "expected an optimiser of torch.optim as optimizer, got str"),
    ],
)
def test_bad_arguments_are_refused(arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        check_every(*arguments)


def test_each_code_is_that_of_a_rule() -> None:
    codes = {rule.code for rule in all_rules()}
    assert {"BN203", "BN303", "BN501", "BN504", "BN505", "BN506"} <= codes
