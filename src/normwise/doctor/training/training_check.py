"""Check of a training at regular steps."""

import warnings
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.optim import Optimizer

from normwise.doctor.training.layer_buffers import layers_that_learn
from normwise.doctor.training.observed_step import ObservedStep
from normwise.doctor.training.passes import is_compiled, samples_of
from normwise.doctor.training.problem import Problem
from normwise.doctor.training.problems import one_value, problems_in
from normwise.errors import BatchNormWarning
from normwise.layers import batch_norms


class TrainingCheck:
    """Check of a training, from :func:`normwise.doctor.check_every`; a context manager.

    Attributes:
        problems: Problems so far, by code; a warning was given once for each.
        steps: Number of steps of the optimiser so far, or of training passes without an optimiser.
    """

    def __init__(self, every: int, model: nn.Module, optimizer: Optimizer | None) -> None:
        self.problems: dict[str, Problem] = {}
        self.steps = 0
        self._every, self._model, self._optimizer = every, model, optimizer
        self._smallest: float = float("inf")
        self._step: ObservedStep | None = None
        self._stop: list[Callable[[], None]] = []
        if optimizer is not None:
            self._observe()

    def stop_with(self, stop: Callable[[], None]) -> None:
        """Call a function when the check is closed."""
        self._stop.append(stop)

    def begin_pass(self, batch: Any) -> None:
        """Record the beginning of a training pass.

        Args:
            batch: Batch, or arguments of the model; a batch smaller than any before is checked, too.
        """
        if self._optimizer is None:
            self._judge()
            if self.steps % self._every == 0:
                self._observe()
            self.steps += 1
        samples = samples_of(batch)
        if samples is not None and samples < self._smallest:
            self._smallest = samples
            if self._step is None:
                self._observe()
        if self._step is not None:
            self._step.begin_pass()

    def end_step(self, *_: Any) -> None:
        """Record a step of the optimiser."""
        self._judge()
        self.steps += 1
        if self.steps % self._every == 0:
            self._observe()

    def close(self) -> None:
        """Remove all hooks; warn if no training was seen."""
        if self._optimizer is None:
            self._judge()
        self.abandon()
        if self.steps == 0:
            what = "training pass of the model" if self._optimizer is None else "step of the optimizer"
            warnings.warn(
                f"check_every saw no {what}, so nothing was checked; pass the model and the optimizer that the "
                "training loop calls, and the compiled model where it is compiled",
                BatchNormWarning,
                stacklevel=2,
            )

    def __enter__(self) -> "TrainingCheck":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def abandon(self) -> None:
        """Remove all hooks, and discard an unfinished step."""
        for stop in self._stop:
            stop()
        self._stop.clear()
        self._abandon_step()

    def _abandon_step(self) -> None:
        step, self._step = self._step, None
        if step is not None:
            step.end()

    def _observe(self) -> None:
        self._abandon_step()
        layers = layers_that_learn(batch_norms(self._model))
        observed = [path for path in layers if not is_compiled(self._model, path)]
        self._step = ObservedStep(
            self._model,
            layers,
            observed,
            lambda: [path for path, layer in layers.items() if self._is_untrained(layer)],
            lambda path, layer: self._warn(one_value(path, type(layer).__name__)),
        )

    def _judge(self) -> None:
        step = self._step
        if step is None:
            return
        self._abandon_step()
        for problem in problems_in(step, of_optimizer=self._optimizer is not None):
            self._warn(problem)

    def _warn(self, problem: Problem) -> None:
        if problem.code in self.problems:
            return
        self.problems[problem.code] = problem
        unit = "training pass" if self._optimizer is None else "step"
        warnings.warn(f"{problem} ({unit} {self.steps})", BatchNormWarning, stacklevel=2)

    def _is_untrained(self, layer: nn.Module) -> bool:
        """Return whether a layer has parameters, none of which is trained."""
        own = [parameter for parameter in layer._parameters.values() if parameter is not None]
        if not own or self._optimizer is None:
            return bool(own) and not any(parameter.requires_grad for parameter in own)
        held = {id(parameter) for group in self._optimizer.param_groups for parameter in group["params"]}
        return not any(parameter.requires_grad and id(parameter) in held for parameter in own)
