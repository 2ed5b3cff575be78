"""One training run: what it was asked for, what it measured on the way, how it ended."""

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
}


@dataclass(frozen=True)
class RunConfig:
    """What a run is asked for. Two of equal configuration give the same bytes on the same machine and versions
    with the same number of processes and of threads, and the same data.

    Processes, threads and data are no part of it, nor of its key: a configuration is asked for by name, here and on
    another machine, before any data is read. What a run had of them is in :class:`Run`.

    Attributes:
        model: Name of the network, as in ``normwise.models``.
        data: The name of a data set, or a folder or file.
        norm: Name of a normalization, as in ``normwise.models``.
        options: Further keyword arguments of the network, such as ``{"depth": 20}``.
        steps: Optimiser steps in all.
        batch_size: Samples a step; the incomplete last batch of an epoch is dropped.
        lr: Learning rate.
        optimizer: "sgd", "adam" or "adamw".
        seed: Initial weights and order of the samples.
        dtype: Of weights and images.
        train_samples, test_samples: Only the first so many; None for all.
        eval_every: Evaluate every so many steps, and after the last.
        measures: Names of further measurements, as in ``normwise.training.measures``.
        task: What is classified, which says among which data sets and networks the names are.
        data_options: Further keyword arguments of the data set, such as ``{"split": "speaker"}``.
        clip: Largest norm of all gradients together, to which they are scaled down; None leaves them.
        statistics: In several processes, whether BN normalises with the statistics of the whole batch, or each process
            with those of its own samples. In one process both are the same.
        framework: Framework of the network and of the loop.
        split: On what it is evaluated: the test set; or, for choices that the test set must not know of, a fifth of the
            training set, which is not trained on then.
        momentum: Of "sgd"; 0 is plain SGD, as in Ioffe & Szegedy's MNIST experiment.
        eval_growth: Evaluate after steps that grow by this fraction, at least ``eval_every`` apart, so that early ones
            are looked at closely; 0 for every ``eval_every`` steps.
        stop_at_loss: End the run at the first evaluation at which the mean training loss since the one before is no
            larger; None for none.
        draw_samples: Whether the training samples are drawn by the seed, and not the first so many.
        weight_decay: Of "adamw": the part of each weight, times the learning rate, that a step takes away.
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

    @property
    def draw(self) -> int | None:
        """Seed that the training samples are drawn by; None where they are the first ones."""
        return self.seed if self.draw_samples else None

    # Asked for some hundred times a run by a study: computed once.
    @cached_property
    def key(self) -> str:
        """16 hexadecimal digits of the configuration's SHA-256."""
        # Equal configurations have equal keys, and 1 equals 1.0, but not as text.
        plain = to_plain(self) | {"lr": float(self.lr)}
        # Fields that the first version had not: without them the keys of its configurations are what they were.
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
        loss: Mean cross-entropy in nats (binary where there is one output) over the training batches since the last
            point; NaN where it was not finite (or at step 0, before any).
        test_loss: Mean cross-entropy over the test set, with running statistics.
        test_accuracy: Fraction of the test set that was classified correctly, with running statistics.
            An output that is not finite counts as wrong.
        measured: What the measures that run at every evaluation gave.
    """

    step: int
    loss: float
    test_loss: float
    test_accuracy: float
    measured: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes:
        steps: Optimiser steps taken; fewer than asked for when it diverged, or reached the loss to stop at.
        diverged: Whether the training loss stopped being finite, or the weights did in the last step.
        test_accuracy: With running statistics, after the last step.
        batch_statistics_accuracy: The same weights with each test batch's own statistics; None where the
            network has no batch normalization, or a test batch is a single sample.
        measured: What the measures that run at the end gave.
    """

    steps: int
    diverged: bool
    test_accuracy: float
    batch_statistics_accuracy: float | None
    measured: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ProcessSpan:
    """A part of a run in one number of processes; the next span begins where it ends.

    Attributes:
        step: Optimiser steps taken before it. The digits of what follows are those of this number of processes: with
            synchronised statistics they differ by rounding from those of another number.
        count: Number of processes.
        threads: How many threads each of them computes with.
    """

    step: int
    count: int
    threads: int


@dataclass(frozen=True)
class Run:
    """A run as its folder has it.

    Attributes:
        config: What it was asked for.
        environment: Where it was begun.
        points: Its evaluations.
        result: How it ended; None while it has not.
        threads: With how many it computes, which its last digits depend on; None in runs of before this was kept, and
            in Keras, whose backends have their own.
        data_sha256: Of the inputs and labels as loaded, before any were left out; None in runs of before this was
            kept.
        kernels: Implementation that computes, on which its last digits depend, too: an instruction set of the compiled
            kernels, or "torch"; of a run in Keras its version and backend; None in runs of before this was kept.
        processes: Parts of the run in different numbers of processes; before the first of them it is one, with
            ``threads``. Empty for a run in one process from start to end.
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
