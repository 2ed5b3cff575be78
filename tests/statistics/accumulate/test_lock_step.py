"""Functions in lock step: one at a time, in order, and none is left behind."""

import contextvars
import threading
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from normwise.statistics.accumulate.lock_step import LockStep
from normwise.statistics.accumulate.random_stream import RandomStream


def _lock_step(count: int) -> LockStep:
    return LockStep([RandomStream(seed) for seed in range(count)], lambda places: ValueError(str(places)))


def test_each_takes_its_part_of_what_all_brought() -> None:
    lock_step = _lock_step(3)

    def function(number: int) -> tuple[int, int]:
        first = lock_step.meet(
            "a", number, lambda all_of_them: [sum(all_of_them) + one for one in all_of_them]
        )
        return first, lock_step.meet("b", first, lambda all_of_them: all_of_them[::-1])

    found = lock_step.run([lambda number=number: function(number) for number in range(3)])
    assert found == [(3, 5), (4, 4), (5, 3)]


def test_one_alone_meets_itself() -> None:
    lock_step = _lock_step(1)
    assert lock_step.run([lambda: lock_step.meet("a", 1, lambda brought: [brought[0] + 1])]) == [2]


def test_an_interruption_of_the_caller_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    lock_step, went_on = _lock_step(2), []

    class Interrupted:
        def acquire(self) -> None:
            raise KeyboardInterrupt

        def release(self) -> None:
            pass

    def function() -> None:
        lock_step.meet("a", None, lambda brought: brought)
        lock_step.meet("b", None, lambda brought: brought)
        went_on.append(True)

    monkeypatch.setattr(lock_step, "_done", Interrupted())
    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        lock_step.run([function, function])
    assert threading.active_count() == threads
    assert len(went_on) < 2


def test_the_callers_modes_and_context_hold() -> None:
    class Mode(TorchFunctionMode):
        calls = 0

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            Mode.calls += 1
            return func(*args, **(kwargs or {}))

    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    variable.set(5)

    def function() -> tuple[bool, int]:
        torch.ones(2).add(1)
        return torch.is_grad_enabled(), variable.get()

    with torch.no_grad(), Mode():
        found = _lock_step(2).run([function, function])
        assert Mode.calls >= 4
    assert found == [(False, 5)] * 2
    assert torch.is_grad_enabled()
