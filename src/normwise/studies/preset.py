"""What "quick" and "full" mean: the data, the networks, the budgets and the seeds of a study."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from normwise.errors import ArgumentError
from normwise.records import Option, Task


@dataclass(frozen=True)
class Network:
    """A network of the study, and the budget that every run of it has.

    Attributes:
        model: Its name in ``normwise.models``.
        steps: Optimiser steps of a run.
        eval_every: Steps between two evaluations, so the resolution of "steps until".
        lr: Learning rate where it is not what is varied.
        batch_lr: Learning rate at batch size 32 where the batch size is varied; proportional to it elsewhere.
    """

    model: str
    steps: int
    eval_every: int
    lr: float
    batch_lr: float


@dataclass(frozen=True)
class SequenceNetwork:
    """A recurrent network of the study, its data, and the budget that every run of it has; trained by Adam.

    Attributes:
        model: Its name in ``normwise.models``.
        task, data: What it is trained on.
        steps: Optimiser steps of a run.
        eval_every: Steps between two evaluations.
        batch_size: Sequences a step.
        lr: Learning rate.
        options: Of the network.
        test_samples: Test set; None for all of it.
    """

    model: str
    task: Task
    data: str
    steps: int
    eval_every: int
    batch_size: int
    lr: float
    options: Mapping[str, Option] = field(default_factory=dict)
    test_samples: int | None = None


@dataclass(frozen=True)
class Preset:
    """A size of study.

    Attributes:
        name: "quick" or "full".
        data: Data set of all runs but those of recurrent networks.
        seeds: Each run is made once a seed.
        target: The test accuracy that "steps until" waits for.
        networks: On which claims are tested.
        sequences: On which claims about recurrent networks are tested.
        rows: The network that reads images row by row.
        samples: Training samples that each run of the batch-size claim sees.
        train_samples: Training set of the batch-size claim; None for all.
        test_samples: Test set of the sweeps; None for all.
        figure_1_steps: Length of the runs of Ioffe & Szegedy's figure 1; 0 leaves them out.
    """

    name: str
    data: str
    seeds: tuple[int, ...]
    target: float
    networks: tuple[Network, ...]
    sequences: tuple[SequenceNetwork, ...]
    rows: SequenceNetwork
    samples: int
    train_samples: int | None = None
    test_samples: int | None = None
    figure_1_steps: int = 0


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            name="quick",
            data="digits",
            seeds=(0, 1, 2),
            target=0.90,
            networks=(
                Network("ioffe_mlp", steps=900, eval_every=20, lr=1.0, batch_lr=1.0),
                Network("dense_bn", steps=400, eval_every=10, lr=0.1, batch_lr=0.1),
                Network("mnist_cnn", steps=300, eval_every=10, lr=0.1, batch_lr=0.1),
            ),
            sequences=(
                SequenceNetwork(
                    "speech_lstm",
                    "speech",
                    "tones",
                    steps=60,
                    eval_every=10,
                    batch_size=32,
                    lr=0.002,
                    options={"max_length": 30},
                ),
                SequenceNetwork(
                    "sentiment_bilstm",
                    "text",
                    "phrases",
                    steps=80,
                    eval_every=10,
                    batch_size=50,
                    lr=0.005,
                    options={"max_length": 20, "width": 50, "dropout": 0.0},
                ),
            ),
            rows=SequenceNetwork(
                "row_lstm",
                "image",
                "digits",
                steps=200,
                eval_every=50,
                batch_size=60,
                lr=0.002,
                options={"max_length": 8},
            ),
            samples=5120,
        ),
        Preset(
            name="full",
            data="mnist",
            seeds=(0, 1, 2),
            target=0.95,
            networks=(
                Network("ioffe_mlp", steps=5000, eval_every=100, lr=1.0, batch_lr=1.0),
                Network("dense_bn", steps=1500, eval_every=20, lr=0.1, batch_lr=0.1),
                Network("mnist_cnn", steps=400, eval_every=20, lr=0.1, batch_lr=0.1),
            ),
            sequences=(
                SequenceNetwork(
                    "speech_lstm", "speech", "fsdd", steps=840, eval_every=84, batch_size=32, lr=0.002
                ),
                SequenceNetwork(
                    "sentiment_bilstm",
                    "text",
                    "rt-polarity",
                    steps=764,
                    eval_every=191,
                    batch_size=50,
                    lr=0.001,
                ),
            ),
            rows=SequenceNetwork(
                "row_lstm",
                "image",
                "mnist",
                steps=1000,
                eval_every=250,
                batch_size=60,
                lr=0.002,
                options={"max_length": 28},
                test_samples=2_000,
            ),
            samples=20480,
            train_samples=10_000,
            test_samples=2_000,
            figure_1_steps=50_000,
        ),
    )
}


def preset_named(name: str) -> Preset:
    """The preset of that name.

    Raises:
        ArgumentError: there is none.
    """
    if name not in PRESETS:
        raise ArgumentError(f"unknown preset {name!r}; known are {', '.join(PRESETS)}")
    return PRESETS[name]
