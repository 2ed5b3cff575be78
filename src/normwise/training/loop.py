"""The loop of a training run: steps, evaluations and checkpoints, in one or several processes."""

import math
import time
from collections.abc import Callable
from typing import TypeAlias

import torch

from normwise.errors import RunError
from normwise.records import Point, Result, RunConfig
from normwise.training import measures
from normwise.training.evaluate import batch_statistics_accuracy, loss_and_accuracy
from normwise.training.one_process import OneProcess
from normwise.training.parallel import Alone, Processes, SharedWork
from normwise.training.run.folder import RunFolder
from normwise.training.schedule import is_evaluated

#: Called after each step with the number of steps taken and the loss of the step, and after each evaluation
#: also with its point.
OnStep: TypeAlias = Callable[[int, float, Point | None], None]


class TrainingLoop:
    """Loop of a run, from its start or its checkpoint to its end.

    Args:
        config: Configuration of the run.
        folder: Folder of the run, written by the first process.
        work: This process's share of the work of a step.
        processes: Processes that do the work.
        checkpoint_seconds: Most seconds of work that an interruption may lose.
        on_step: Function that is called after each step.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        work: OneProcess | SharedWork,
        processes: Processes | Alone,
        checkpoint_seconds: float,
        on_step: OnStep | None,
    ):
        self.config, self.folder, self.work, self.processes = config, folder, work, processes
        self.checkpoint_seconds, self.on_step = checkpoint_seconds, on_step
        self.parameters = list(work.trained.parameters())
        # None for plain SGD, which has no state. torch.optim would import the compiler, a second for each
        # process of a study, and its hooks take a sixth of a small network's step.
        self.optimizer: torch.optim.Optimizer | None = None
        if config.optimizer == "adam":
            self.optimizer = torch.optim.Adam(self.parameters, lr=config.lr)
        elif config.optimizer == "adamw":
            self.optimizer = torch.optim.AdamW(
                self.parameters, lr=config.lr, weight_decay=config.weight_decay
            )
        elif config.momentum:
            self.optimizer = torch.optim.SGD(self.parameters, lr=config.lr, momentum=config.momentum)
        self.progress = work.load(folder.checkpoint, self.optimizer)
        if self.progress.step > config.steps or (self.progress.step > 0) != (self.progress.metrics_size > 0):
            raise RunError(
                f"{folder.checkpoint} is not a checkpoint of this run: it was saved after {self.progress.step} steps "
                f"and {self.progress.metrics_size} bytes of metrics. Delete it to start the run again"
            )
        if processes.first:
            folder.metrics.truncate(self.progress.metrics_size, folder.checkpoint.name)
            folder.go_on(self.progress.step, processes.count, torch.get_num_threads())
        self.saved_at = time.monotonic()
        self.last_point: Point | None = None

    def run(self) -> None:
        """Train to the end."""
        self.work.model.train()
        self.work.trained.train()
        if self.progress.step == 0:
            self._point(math.nan)
        while self.progress.step < self.config.steps and not self.progress.ended:
            loss, save = self._step()
            at_end = self.progress.step == self.config.steps or self.progress.ended
            point = None
            if at_end or is_evaluated(self.config, self.progress.step):
                mean = self.progress.loss_sum / max(self.progress.loss_count, 1)
                self.progress.stopped = self._is_low(mean)
                at_end = at_end or self.progress.stopped
                point = self._point(mean)
                self.progress.loss_sum, self.progress.loss_count = 0.0, 0
            if at_end or save():
                self._save()
            if self.on_step is not None:
                self.on_step(self.progress.step, loss, point)
        self._finish()

    def _step(self) -> tuple[float, Callable[[], bool]]:
        self.work.seed_draws(self.progress.step)
        loss, save = self.work.gradients(self.progress.step, self._is_due)
        if self.config.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip)
        self._update()
        value = loss.item()
        self.progress.step += 1
        self.progress.diverged = not math.isfinite(value)
        if self.progress.step == self.config.steps and not self.progress.diverged:
            # No later loss would show the effect of the last update.
            self.progress.diverged = not self._finite()
        self.progress.loss_sum += value
        self.progress.loss_count += 1
        return value, save

    def _is_due(self) -> bool:
        return time.monotonic() - self.saved_at >= self.checkpoint_seconds

    def _is_low(self, loss: float) -> bool:
        return self.config.stop_at_loss is not None and loss <= self.config.stop_at_loss

    def _update(self) -> None:
        if self.optimizer is not None:
            self.optimizer.step()
            return
        with torch.no_grad():
            for parameter in self.parameters:
                if parameter.grad is not None:
                    parameter.add_(parameter.grad, alpha=-self.config.lr)

    def _finite(self) -> bool:
        """Return whether the weights, and the loss of one more step, are finite."""
        if not all(bool(parameter.isfinite().all()) for parameter in self.parameters):
            return False
        return bool(self.work.loss_left_alone(self.progress.step).isfinite())

    def _point(self, loss: float) -> Point | None:
        """Evaluate; add a point in the first process."""
        with self.work.whole_model():
            outputs = self.work.test_outputs()
            if self.processes.first:
                self.last_point = self._measured(loss, outputs)
                self.folder.metrics.append(self.last_point)
            self.processes.wait()
        return self.last_point

    def _measured(self, loss: float, outputs: torch.Tensor) -> Point:
        test_loss, accuracy = loss_and_accuracy(outputs, self.work.data.test.labels)
        measured = {
            name: measures.AT_EVERY_POINT[name](self.work.model, self.work.data)
            for name in self.config.measures
            if name in measures.AT_EVERY_POINT
        }
        return Point(self.progress.step, loss, test_loss, accuracy, measured)

    def _save(self) -> None:
        with self.work.whole_model():
            if self.processes.first:
                self.progress.metrics_size = self.folder.metrics.size()
                self.work.save(self.folder.checkpoint, self.optimizer, self.progress)
                self.folder.add_seconds(time.monotonic() - self.saved_at)
            self.processes.wait()
        self.saved_at = time.monotonic()

    def _finish(self) -> None:
        with self.work.whole_model():
            if self.processes.first:
                self.folder.finish(self._result(), time.monotonic() - self.saved_at)
            self.processes.wait()

    def _result(self) -> Result:
        model, data = self.work.model, self.work.data
        # None if the run was killed between its last checkpoint and its end.
        point = self.last_point or self.folder.point_at(self.progress.step)
        return Result(
            steps=self.progress.step,
            diverged=self.progress.diverged,
            test_accuracy=point.test_accuracy,
            batch_statistics_accuracy=batch_statistics_accuracy(model, data.test, self.config.batch_size),
            measured={
                name: measures.AT_THE_END[name](model, data)
                for name in self.config.measures
                if name in measures.AT_THE_END
            },
        )
