"""Records of one training run: configuration, measurements and result."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from normwise.records.environment import Environment
from normwise.records.json_codec import to_plain
from normwise.records.training.input_spec import Task

Option = bool | int | float | str

_LATER: dict[str, Any] = {
    "task": "image",
    "data_options": {},
    "clip": None,
    "statistics": "synchronised",
    "framework": "torch",
    "split": "test",
    "momentum": 0.0,
    "eval_growth": 0.0,
    "stop_at_loss": None,
    "draw_samples": False,
    "weight_decay": 0.0,
    "augment": [],
}


@dataclass(frozen=True)
class RunConfig:
    """Configuration of a run.

    Two runs of equal configuration, data and numbers of processes and threads give the same bytes on the same machine
    and versions.

    Processes, threads and data are not part of the configuration or of its key, which must be known on any machine
    before data are read. :class:`Run` has those of a run.

    Attributes:
        model: Name of the network, as in ``normwise.models``.
        data: Name of a data set, or a folder or file.
        norm: Name of a normalization, as in ``normwise.models``.
        options: Further keyword arguments of the network, such as ``{"depth": 20}``.
        steps: Total number of optimiser steps.
        batch_size: Number of samples per step; the incomplete last batch of an epoch is dropped.
        lr: Learning rate.
        optimizer: "sgd", "adam" or "adamw".
        seed: Seed of the initial weights and of the order of the samples.
        dtype: Dtype of weights and images.
        train_samples, test_samples: Number of samples that are used, the first ones; None for all.
        eval_every: Interval of evaluations in steps; the run is also evaluated after the last step.
        measures: Names of further measurements, as in ``normwise.training.measures``.
        task: Kind of input that is classified, which determines the possible data sets and networks.
        data_options: Further keyword arguments of the data set, such as ``{"split": "speaker"}``.
        clip: Largest norm of all gradients together, to which they are scaled down; None for no clipping.
        statistics: Statistics of BN in several processes: those of the whole batch, or in each process those of its
            own samples. In one process both are the same.
        framework: Framework of the network and of the loop.
        split: Data for evaluation: the test set; or, for choices that must not use the test set, a fifth of the
            training set, which is then not trained on.
        momentum: Momentum of "sgd"; 0 is plain SGD, as in Ioffe & Szegedy's MNIST experiment.
        eval_growth: Growth of the evaluated steps by this fraction, at least ``eval_every`` apart, so that early
            steps are evaluated more often; 0 for every ``eval_every`` steps.
        stop_at_loss: Mean training loss since the last evaluation at which the run stops early; None for never.
        draw_samples: Whether the training samples are drawn by the seed, instead of taking the first ones.
        weight_decay: Weight decay of "adamw": the share of each weight, times the learning rate, that a step
            subtracts.
        augment: Random changes of the training images, in the order of the alphabet: "crop" and "flip".
    """

    model: str
    data: str
    norm: str
    steps: int
    batch_size: int
    lr: float
    seed: int
    eval_every: int
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    dtype: Literal["float32", "float64"] = "float32"
    options: Mapping[str, Option] = field(default_factory=dict)
    train_samples: int | None = None
    test_samples: int | None = None
    measures: tuple[str, ...] = ()
    task: Task = "image"
    data_options: Mapping[str, Option] = field(default_factory=dict)
    clip: float | None = None
    statistics: Literal["synchronised", "local"] = "synchronised"
    framework: Literal["torch", "keras"] = "torch"
    split: Literal["test", "validation"] = "test"
    momentum: float = 0.0
    eval_growth: float = 0.0
    stop_at_loss: float | None = None
    draw_samples: bool = False
    weight_decay: float = 0.0
    augment: tuple[Literal["crop", "flip"], ...] = ()

    @property
    def draw(self) -> int | None:
        """Return the seed for drawing the training samples; None if they are the first ones."""
        return self.seed if self.draw_samples else None

    # A study needs it some hundred times per run, so it is computed once.
    @cached_property
    def key(self) -> str:
        """Return 16 hexadecimal digits of the configuration's SHA-256."""
        # Equal configurations must have equal keys; 1 equals 1.0, but not as text.
        plain = to_plain(self) | {"lr": float(self.lr)}
        # Fields that the first version lacked are left out at their defaults, so that its keys stay the same.
        for name, default in _LATER.items():
            if plain[name] == default:
                del plain[name]
        text = json.dumps(plain, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Point:
    """One evaluation: a line of ``metrics.jsonl``.

    Attributes:
        step: Optimiser steps taken.
        loss: Mean cross-entropy in nats (binary if there is one output) over the training batches since the last
            point; NaN if it was not finite (or at step 0, before any).
        test_loss: Mean cross-entropy over the test set, with running statistics.
        test_accuracy: Fraction of the test set that was classified correctly, with running statistics. An output
            that is not finite counts as wrong.
        measured: Results of the measures that run at every evaluation.
    """

    step: int
    loss: float
    test_loss: float
    test_accuracy: float
    measured: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """Result of a run.

    Attributes:
        steps: Optimiser steps taken; fewer than requested if the run diverged, or reached the loss to stop at.
        diverged: Whether the training loss stopped being finite, or the weights did in the last step.
        test_accuracy: Test accuracy with running statistics, after the last step.
        batch_statistics_accuracy: Test accuracy with each test batch's own statistics; None if the network has no
            batch normalization, or a test batch is a single sample.
        measured: Results of the measures that run at the end.
    """

    steps: int
    diverged: bool
    test_accuracy: float
    batch_statistics_accuracy: float | None
    measured: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ProcessSpan:
    """Part of a run with a constant number of processes; the next span begins where it ends.

    Attributes:
        step: Optimiser steps taken before it. Later numbers are those of this number of processes: with
            synchronised statistics they differ by rounding from those of another number.
        count: Number of processes.
        threads: Number of threads of each process.
    """

    step: int
    count: int
    threads: int


@dataclass(frozen=True)
class Run:
    """A run, as stored in its folder.

    Attributes:
        config: Configuration of the run.
        environment: Machine and versions on which it was begun.
        points: Evaluations of the run.
        result: Result of the run; None before its end.
        threads: Number of threads, which affects the last digits; None in older runs, and in Keras, whose backends
            have their own.
        data_sha256: SHA-256 of the inputs and labels as loaded, before any were left out; None in older runs.
        kernels: Implementation that computes, which affects the last digits: an instruction set of the compiled
            kernels, or "torch"; for a run in Keras its version and backend; None in older runs.
        processes: Parts of the run with different numbers of processes; before the first part it is one process,
            with ``threads``. Empty for a run in one process from start to end.
    """

    config: RunConfig
    environment: Environment
    points: tuple[Point, ...]
    result: Result | None
    threads: int | None = None
    data_sha256: str | None = None
    kernels: str | None = None
    processes: tuple[ProcessSpan, ...] = ()

    @property
    def risen_loss(self) -> tuple[float, float] | None:
        """The test loss before training and the last training loss, where that is higher: finite, and yet diverged."""
        if self.result is None or self.result.diverged or not self.points or self.points[0].step != 0:
            return None
        before, after = self.points[0].test_loss, self.points[-1].loss
        return (before, after) if after > before else None
