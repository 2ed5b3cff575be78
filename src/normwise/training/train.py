"""One small, exact, resumable training loop for classifiers of images, speech and text."""

import math
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from normwise.data import BatchOrder, LabelledData, SequenceData, load_data
from normwise.errors import ArgumentError, RunError
from normwise.files import is_there
from normwise.models import build
from normwise.models.parts.word_embedding import WordEmbedding
from normwise.records import InputSpec, Point, Result, Run, RunConfig
from normwise.statistics import using_batch_statistics
from normwise.training import checkpoint, measures
from normwise.training.checkpoint import RunProgress
from normwise.training.evaluate import batch_statistics_accuracy, logits, loss_and_accuracy, loss_of
from normwise.training.run_folder import RunFolder, config_differences

#: Called after each step with the number of steps taken and the loss of that step, and after each
#: evaluation with its point, too.
OnStep: TypeAlias = Callable[[int, float, Point | None], None]
#: More would not end in years; and a learning rate that float32 holds, with room for what an optimiser does to it.
_MOST_STEPS, _LARGEST_LR = 10**12, 1e30


def train(
    config: RunConfig,
    folder: Path,
    *,
    resume: bool = False,
    wait: bool = False,
    threads: int | None = None,
    checkpoint_seconds: float = 10.0,
    on_step: OnStep | None = None,
) -> Run:
    """Train as ``config`` says, into ``folder``, and return the finished run.

    The loss is the mean cross-entropy; the last, incomplete batch of an epoch is dropped. The run stops
    early when its loss is no longer finite: that is a result (``diverged``) and not an error. A run that
    was interrupted, at whatever moment and however hard, goes on with ``resume=True`` and ends with the
    bytes of one that was not, on the same machine: with the number of threads, the kernels and the data that it
    was begun with, which are in its folder. A finished one is returned as it is. A run that can't take its first
    step leaves no folder behind.

    Args:
        config: What to do.
        folder: Where the run is kept, see ``RunFolder``.
        resume: Go on with the run that is there, if there is one.
        wait: Where another process is at work in the folder, wait for it instead of raising.
        threads: How many to compute with; None for as many as the run was begun with, or as torch has.
        checkpoint_seconds: How much work an interruption may cost at most; 0 saves at every step.
        on_step: Told of the progress.

    Raises:
        RunError: the folder holds a run and ``resume`` is off, or another run, or something else; or the run
            was begun with other data, another number of threads or other kernels; or another process is at work in it.
        ArgumentError, ModelError, DataError, ShapeError: the configuration can't be carried out.
    """
    run_folder = RunFolder(folder)
    if run_folder.exists and not resume:
        differs = config_differences(config, run_folder.read().config)
        raise RunError(
            f"{folder} already holds a run of another configuration: {differs}. Choose another folder by --out"
            if differs
            else f"{folder} already holds a run; go on with it by --resume, or choose another folder"
        )
    _check(config)
    loaded = load_data(config.task, config.data, **config.data_options)
    data = loaded.subset(config.train_samples, config.test_samples).to(getattr(torch, config.dtype))
    model = network_of(config, data.input_spec)
    _begin_with_vectors(model, data)
    order = BatchOrder(len(data.training), config.batch_size, config.seed)
    if not run_folder.exists:
        # A batch that the network can't train on is an error before there is a folder that says a run was begun.
        _loss_left_alone(model, data, order(0))
    with run_folder.locked(wait=wait):
        threads = run_folder.begin(config, loaded, threads)
        if not run_folder.finished:
            with _computing_with(threads), torch.random.fork_rng(devices=[]):
                _Training(config, run_folder, data, model, order, checkpoint_seconds, on_step).run()
        return run_folder.read()


def network_of(config: RunConfig, input_spec: InputSpec) -> nn.Module:
    """Build the network that a run is asked for, with its initial weights."""
    for name in ("norm", "seed", "task"):
        if name in config.options:
            raise ArgumentError(f"{name} is a field of the configuration itself, and no option; set it there")
    options: dict[str, Any] = dict(config.options)
    classes = len(input_spec.classes)
    model = build(
        config.model,
        input_spec.shape,
        classes,
        task=config.task,
        norm=config.norm,
        seed=config.seed,
        **options,
    )
    return model.to(getattr(torch, config.dtype))


def _begin_with_vectors(model: nn.Module, data: LabelledData) -> None:
    vectors = data.vectors if isinstance(data, SequenceData) else None
    if vectors is not None:
        for module in model.modules():
            if isinstance(module, WordEmbedding):
                module.begin_with(vectors.vectors, vectors.known)


class _Training:
    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        data: LabelledData,
        model: nn.Module,
        order: BatchOrder,
        checkpoint_seconds: float,
        on_step: OnStep | None,
    ):
        self.config, self.folder, self.data, self.model, self.order = config, folder, data, model, order
        self.checkpoint_seconds, self.on_step = checkpoint_seconds, on_step
        self.parameters = list(model.parameters())
        # None for plain SGD, which has no state. torch's would import its compiler, a second for each process of a
        # study, and its hooks take a sixth of a small network's step.
        self.optimizer = (
            torch.optim.Adam(self.parameters, lr=config.lr) if config.optimizer == "adam" else None
        )
        self.progress = RunProgress()
        if is_there(folder.checkpoint):
            self.progress = checkpoint.load(folder.checkpoint, model, self.optimizer)
            if self.progress.step > config.steps or (self.progress.step > 0) != (
                self.progress.metrics_size > 0
            ):
                raise RunError(
                    f"{folder.checkpoint} is no checkpoint of this run: it was saved after {self.progress.step} steps "
                    f"and {self.progress.metrics_size} bytes of metrics. Delete it to start the run anew"
                )
        folder.truncate_metrics(self.progress.metrics_size)
        self.saved_at = time.monotonic()
        self.last_point: Point | None = None

    def run(self) -> None:
        self.model.train()
        if self.progress.step == 0:
            self._point(math.nan)
        while self.progress.step < self.config.steps and not self.progress.diverged:
            loss = self._step()
            at_end = self.progress.step == self.config.steps or self.progress.diverged
            point = None
            if at_end or self.progress.step % self.config.eval_every == 0:
                point = self._point(self.progress.loss_sum / max(self.progress.loss_count, 1))
                self.progress.loss_sum, self.progress.loss_count = 0.0, 0
            if at_end or time.monotonic() - self.saved_at >= self.checkpoint_seconds:
                self._save()
            if self.on_step is not None:
                self.on_step(self.progress.step, loss, point)
        self._finish()

    def _step(self) -> float:
        # What a step draws, for dropout, depends on the seed and the step alone: a resumed run draws the same.
        torch.default_generator.manual_seed(zlib.crc32(f"{self.config.seed}/{self.progress.step}".encode()))
        loss = _loss(self.model, self.data, self.order(self.progress.step))
        for parameter in self.parameters:
            parameter.grad = None
        loss.backward()
        if self.config.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip)
        self._update()
        value = loss.item()
        self.progress.step += 1
        self.progress.diverged = not math.isfinite(value)
        if self.progress.step == self.config.steps and not self.progress.diverged:
            # No further loss would tell what the last update did.
            self.progress.diverged = not self._finite()
        self.progress.loss_sum += value
        self.progress.loss_count += 1
        return value

    def _update(self) -> None:
        if self.optimizer is not None:
            self.optimizer.step()
            return
        with torch.no_grad():
            for parameter in self.parameters:
                if parameter.grad is not None:
                    parameter.add_(parameter.grad, alpha=-self.config.lr)

    def _finite(self) -> bool:
        """Whether the weights are finite, and the loss that a further step would have."""
        if not all(bool(parameter.isfinite().all()) for parameter in self.parameters):
            return False
        return bool(_loss_left_alone(self.model, self.data, self.order(self.progress.step)).isfinite())

    def _point(self, loss: float) -> Point:
        outputs = logits(self.model, self.data.test)
        test_loss, accuracy = loss_and_accuracy(outputs, self.data.test.labels)
        measured = {
            name: measures.AT_EVERY_POINT[name](self.model, self.data)
            for name in self.config.measures
            if name in measures.AT_EVERY_POINT
        }
        point = Point(self.progress.step, loss, test_loss, accuracy, measured)
        self.folder.append(point)
        self.last_point = point
        return point

    def _save(self) -> None:
        self.progress.metrics_size = self.folder.metrics_size()
        checkpoint.save(self.folder.checkpoint, self.model, self.optimizer, self.progress)
        self.folder.add_seconds(time.monotonic() - self.saved_at)
        self.saved_at = time.monotonic()

    def _finish(self) -> None:
        ended = [name for name in self.config.measures if name in measures.AT_THE_END]
        # None where the run was killed between its last checkpoint and its end.
        point = self.last_point or self._last_saved()
        result = Result(
            steps=self.progress.step,
            diverged=self.progress.diverged,
            test_accuracy=point.test_accuracy,
            batch_statistics_accuracy=batch_statistics_accuracy(
                self.model, self.data.test, self.config.batch_size
            ),
            measured={name: measures.AT_THE_END[name](self.model, self.data) for name in ended},
        )
        self.folder.finish(result, time.monotonic() - self.saved_at)

    def _last_saved(self) -> Point:
        points = self.folder.read().points
        if not points or points[-1].step != self.progress.step:
            raise RunError(
                f"the metrics in {self.folder.path} don't end at step {self.progress.step}, as the checkpoint does. "
                "Delete the folder to start anew"
            )
        return points[-1]


def _check(config: RunConfig) -> None:
    for name in ("steps", "batch_size", "eval_every"):
        if getattr(config, name) < 1:
            raise ArgumentError(f"{name} must be at least 1, got {getattr(config, name)}")
        if getattr(config, name) > _MOST_STEPS:
            raise ArgumentError(f"{name} must be at most {_MOST_STEPS:,}, got {getattr(config, name)}")
    if not (config.lr > 0 and math.isfinite(config.lr)):
        raise ArgumentError(f"lr must be a positive number, got {config.lr}")
    if config.lr > _LARGEST_LR:
        raise ArgumentError(f"lr must be at most {_LARGEST_LR:g}, got {config.lr}")
    if not 0 <= config.seed < 2**63:
        raise ArgumentError(f"seed must be from 0 to 2**63 - 1, got {config.seed}")
    if config.clip is not None and not config.clip > 0:
        raise ArgumentError(f"clip must be a positive number, got {config.clip}")
    if config.optimizer not in ("sgd", "adam"):
        raise ArgumentError(f"unknown optimizer {config.optimizer!r}; known are sgd, adam")
    measures.check_measures(config.measures, config.task)


@torch.no_grad()
def _loss_left_alone(model: nn.Module, data: LabelledData, index: Tensor) -> Tensor:
    """The loss of a training batch, without a trace in the model."""
    with using_batch_statistics(model):
        return _loss(model, data, index)


def _loss(model: nn.Module, data: LabelledData, index: Tensor) -> Tensor:
    return loss_of(model(**data.training.inputs(index)), data.training.labels[index])


@contextmanager
def _computing_with(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
