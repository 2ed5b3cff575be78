"""What "quick" and "full" mean: the data, the networks, the budgets and the seeds of a study."""

from dataclasses import dataclass

from normwise.errors import ArgumentError


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
class Preset:
    """A size of study.

    Attributes:
        name: "quick" or "full".
        data: Data set of all runs.
        seeds: Each run is made once a seed.
        target: The test accuracy that "steps until" waits for.
        networks: On which claims are tested.
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
