"""The runs that claims vary: one of a preset's networks, trained as the preset says."""

from collections.abc import Sequence
from typing import Any

from normwise.records import RunConfig
from normwise.studies.preset import Network, Preset, SequenceNetwork

#: As in Ioffe & Szegedy 2015, §4.1.
BATCH_SIZE = 60
#: Learning rates of the sweep, in steps of about 3, but for one of 10 at the low end, where no highest usable rate is
#: expected.
LEARNING_RATES = (0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
#: What data are that nobody has recorded or written.
_MADE_UP = {
    "tones": "tones are synthetic sounds of ten kinds, which glide from one vowel to another in noise.",
    "phrases": "phrases are sentences of a small grammar, positive or negative, with negations and contradictions.",
}


def network_run(preset: Preset, network: Network, norm: str, seed: int, **changes: Any) -> RunConfig:
    """A run of the network's own budget and learning rate with plain SGD, evaluated at its end.

    ``changes`` are fields of the configuration that a claim wants otherwise.
    """
    fields: dict[str, Any] = {
        "model": network.model,
        "data": preset.data,
        "norm": norm,
        "steps": network.steps,
        "batch_size": BATCH_SIZE,
        "lr": network.lr,
        "seed": seed,
        "eval_every": network.steps,
        "test_samples": preset.test_samples,
    }
    return RunConfig(**(fields | changes))


def learning_rate_sweep(preset: Preset) -> tuple[RunConfig, ...]:
    """Return a run for each network, norm, learning rate and seed, evaluated on its way.

    Two claims read it: each network, with BN and without, from too slow for the budget to where training fails.
    """
    return tuple(
        network_run(preset, network, norm, seed, lr=lr, eval_every=network.eval_every)
        for network in preset.networks
        for norm in ("batch", "none")
        for lr in LEARNING_RATES
        for seed in preset.seeds
    )


def sequence_run(network: SequenceNetwork, norm: str, seed: int, **changes: Any) -> RunConfig:
    """A run of a recurrent network's own budget with Adam, gradients clipped to norm 1.

    ``changes`` are fields of the configuration that a claim wants otherwise.
    """
    fields: dict[str, Any] = {
        "model": network.model,
        "task": network.task,
        "data": network.data,
        "norm": norm,
        "steps": network.steps,
        "batch_size": network.batch_size,
        "lr": network.lr,
        "seed": seed,
        "eval_every": network.eval_every,
        "optimizer": "adam",
        "options": network.options,
        "test_samples": network.test_samples,
        "clip": 1.0,
    }
    return RunConfig(**(fields | changes))


def sequence_budget(networks: Sequence[SequenceNetwork], seeds: Sequence[int]) -> str:
    """What these runs are, as a sentence of a protocol."""
    parts = ", ".join(
        f"{network.model} on {network.data} for {network.steps:,} steps of {network.batch_size} at learning rate "
        f"{network.lr:g}"
        for network in networks
    )
    made_up = " ".join(
        text for name, text in _MADE_UP.items() if any(network.data == name for network in networks)
    )
    return (
        f"{parts}; Adam, gradients clipped to norm 1, seeds {', '.join(map(str, seeds))}. With each norm the weights "
        f"start from the same values and see the same batches. {made_up}".strip()
    )


def budget(preset: Preset) -> str:
    """What these runs are, as a sentence of a protocol."""
    networks = ", ".join(f"{network.model} for {network.steps:,} steps" for network in preset.networks)
    return (
        f"Data: {preset.data}. Networks: {networks}; plain SGD, batch {BATCH_SIZE}, seeds "
        f"{', '.join(map(str, preset.seeds))}. With and without BN the weights start from the same values "
        f"and see the same batches.{tested(preset)}"
    )


def tested(preset: Preset) -> str:
    """On what these runs are tested, as a sentence that follows others; nothing where it is the whole test set."""
    return f" Tested on the first {preset.test_samples:,} test samples." if preset.test_samples else ""
