"""Each promise of the contract holds for each operation on each kind of model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from torch import Tensor, nn

from tests.support import model_state
from tests.support.model_kinds import SUBJECTS, Subject
from tests.support.operations import OPERATIONS, Example, Operation


@pytest.fixture(autouse=True)
def _short_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let fold measure in two rounds of one call."""
    for name, value in (("_ROUNDS", 2), ("_LEAST_ROUNDS", 2), ("_SECONDS_A_ROUND", 0.0)):
        monkeypatch.setattr(f"normwise.surgery.proof.speedup.{name}", value)


@dataclass(frozen=True)
class Result:
    """The outcome of an operation on a model; tests only look at it.

    Attributes:
        old: The model as it was.
        new: The new one.
        modes: The new one's, by path.
        example: For both.
    """

    old: nn.Module
    new: nn.Module
    modes: dict[str, bool]
    example: Example


_RESULTS: dict[tuple[str, str], Result] = {}


@pytest.fixture
def result(operation: Operation, subject: Subject) -> Result:
    """The result of each operation on each kind of model, made once."""
    key = operation.name, subject.name
    if key not in _RESULTS:
        example = subject.example()
        new, _ = operation.call(subject.model(), example)
        modes = {path: module.training for path, module in new.named_modules()}
        _RESULTS[key] = Result(subject.model(), new, modes, subject.example())
    return _RESULTS[key]


@pytest.fixture(params=OPERATIONS, ids=lambda operation: operation.name)
def operation(request: pytest.FixtureRequest) -> Operation:
    """Each operation on models."""
    return request.param


@pytest.fixture(params=SUBJECTS, ids=lambda subject: subject.name)
def subject(request: pytest.FixtureRequest) -> Subject:
    """Each kind of model."""
    return request.param


@pytest.fixture
def network() -> Subject:
    """The plain kind of model."""
    return SUBJECTS[0]


@pytest.fixture
def state_of() -> Callable[[nn.Module], dict[str, Any]]:
    """A function that tells all of a model's state, as things that can be compared."""
    return model_state.state_of


@pytest.fixture
def outputs_of() -> Callable[[nn.Module, Example], Tensor]:
    """A function that evaluates a copy of a model on a copy of an example."""
    return model_state.outputs_of
