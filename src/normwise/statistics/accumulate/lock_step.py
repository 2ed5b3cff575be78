"""Functions that run side by side, one at a time, and wait for each other at meetings."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from normwise.statistics.accumulate.random_stream import RandomStream
from normwise.statistics.accumulate.thread_state import saved_tensors_hooks, thread_state

#: Function from what each function brought to a meeting to the answer of each.
Join = Callable[[list[Any]], Sequence[Any]]
#: Function from the place of each function (None if it has returned) to an error.
Mismatch = Callable[[list[str | None]], Exception]


class _Ended(BaseException):
    """Signal that ends a function because another one failed."""


def _saving_plainly() -> AbstractContextManager[Any]:
    return torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor)


@dataclass
class _Runner:
    """Thread of a function, and its progress.

    Attributes:
        turn: Lock that is released when it is the thread's turn.
        place: Place at which the thread waits for the others; None if it does not wait.
        brought, answer: Value that it brought to the meeting, and value that it receives.
        result: Value that the function has returned.
        ended: Whether the thread has ended.
    """

    turn: threading.Semaphore
    stream: RandomStream
    place: str | None = None
    brought: Any = None
    answer: Any = None
    result: Any = None
    ended: bool = False


class LockStep:
    """Functions in threads of which exactly one runs at a time, in the given order.

    Each has its own random stream, so that its draws do not depend on the others, and the calling thread's state of
    torch.
    """

    def __init__(self, streams: Sequence[RandomStream], mismatch: Mismatch) -> None:
        self._runners = [_Runner(threading.Semaphore(0), stream) for stream in streams]
        self._mismatch = mismatch
        self._failure: BaseException | None = None
        self._done = threading.Semaphore(0)
        self._own = threading.local()
        self._callers: Any = None
        self._hooks: Callable[[], AbstractContextManager[Any]] = _saving_plainly

    def run(self, functions: Sequence[Callable[[], Any]]) -> list[Any]:
        """Run the functions, and return their results.

        Raises:
            Exception: a function raised it, or ``mismatch`` made it because the functions do not meet at the same
                places.
        """
        call_here = thread_state()
        self._callers = saved_tensors_hooks()
        if self._callers is not None:
            self._hooks = partial(torch.autograd.graph.saved_tensors_hooks, *self._callers)
        threads = [
            threading.Thread(
                target=call_here, args=(lambda at=at, function=function: self._run(at, function),)
            )
            for at, function in enumerate(functions)
        ]
        for thread in threads:
            thread.daemon = True
            thread.start()
        try:
            self._runners[0].turn.release()
            self._done.acquire()
        except BaseException as error:  # Ctrl-C, while the functions run
            self._failure = error
            raise
        finally:
            for runner in self._runners if self._failure is not None else ():
                runner.turn.release()
            for thread in threads:
                thread.join()
        if self._failure is not None:
            raise self._failure
        return [runner.result for runner in self._runners]

    def meet(self, place: str, brought: Any, join: Join) -> Any:
        """Wait until all functions are at this place, and return this one's answer from ``join``."""
        at: int = self._own.at
        runner = self._runners[at]
        runner.place, runner.brought = place, brought
        if at + 1 < len(self._runners):
            self._pass_on(at + 1)
        else:
            self._join(join)
            if at > 0:
                self._pass_on(0)
            else:
                runner.turn.release()
        self._wait(at)
        answer, runner.answer = runner.answer, None
        return answer

    def saving_as_caller(self) -> AbstractContextManager[Any]:
        """Save tensors for the backward pass only by the hooks of the caller of :meth:`run`."""
        return self._hooks()

    def saves_otherwise(self) -> bool:
        """Return whether a function is within its own hooks on saved tensors, as in a checkpoint."""
        return saved_tensors_hooks() != self._callers

    def _join(self, join: Join) -> None:
        places = [runner.place for runner in self._runners]
        if len(set(places)) > 1:
            raise self._mismatch(places)
        brought = [runner.brought for runner in self._runners]
        for runner in self._runners:
            runner.place = runner.brought = None
        for runner, answer in zip(self._runners, join(brought), strict=True):
            runner.answer = answer

    def _pass_on(self, to: int) -> None:
        self._runners[self._own.at].stream.leave()
        self._runners[to].turn.release()

    def _wait(self, at: int) -> None:
        self._runners[at].turn.acquire()
        if self._failure is not None:
            raise _Ended
        self._runners[at].stream.enter()

    def _run(self, at: int, function: Callable[[], Any]) -> None:
        self._own.at, runner = at, self._runners[at]
        try:
            self._wait(at)
            runner.result = function()
            runner.ended = True
            self._after(at)
        except _Ended:
            pass
        except BaseException as error:
            if self._failure is None:
                self._failure = error
            self._done.release()

    def _after(self, at: int) -> None:
        """Let the next function continue, or end, after a function has returned."""
        if at + 1 < len(self._runners):
            self._pass_on(at + 1)
            return
        if any(not runner.ended for runner in self._runners):
            raise self._mismatch([runner.place for runner in self._runners])
        self._done.release()
