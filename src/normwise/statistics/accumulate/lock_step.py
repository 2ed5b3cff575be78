"""Functions that run side by side, one at a time, and meet: each waits there for all others."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from normwise.statistics.accumulate.random_stream import RandomStream
from normwise.statistics.accumulate.thread_state import saved_tensors_hooks, thread_state

#: Makes one answer for each function of what each brought to a meeting.
Join = Callable[[list[Any]], Sequence[Any]]
#: Makes an error of the places at which the functions are; None for one that has returned.
Mismatch = Callable[[list[str | None]], Exception]


class _Ended(BaseException):
    """A signal that ends a function since another one failed."""


def _saving_plainly() -> AbstractContextManager[Any]:
    return torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor)


@dataclass
class _Runner:
    """A function's thread, and where it is.

    Attributes:
        turn: Released when it is its turn.
        place: Where it waits for the others; None where it does not.
        brought, answer: What it brought there, and what it takes away.
        result: What the function has returned.
        ended: Whether it is over.
    """

    turn: threading.Semaphore
    stream: RandomStream
    place: str | None = None
    brought: Any = None
    answer: Any = None
    result: Any = None
    ended: bool = False


class LockStep:
    """Functions in threads of which exactly one runs at a time, in the order in which they are given.

    Each has a random stream of its own, so that what it draws does not depend on the others, and the state of torch
    that the calling thread has.
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
        """Run the functions, and return what they return.

        Raises:
            Whatever one of them raises, or ``mismatch`` makes where they do not meet at the same places.
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
        """Wait until all functions are at this place, and return this one's part of what ``join`` makes of all."""
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
        """Let tensors be saved for the backward pass as they are for the caller of :meth:`run`, and not otherwise."""
        return self._hooks()

    def saves_otherwise(self) -> bool:
        """Return whether a function is within hooks of its own on saved tensors: how a checkpoint begins."""
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
        """Let the next one go on, or end, when a function has returned."""
        if at + 1 < len(self._runners):
            self._pass_on(at + 1)
            return
        if any(not runner.ended for runner in self._runners):
            raise self._mismatch([runner.place for runner in self._runners])
        self._done.release()
