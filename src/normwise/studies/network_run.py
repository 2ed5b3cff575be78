"""The run that claims vary: one of a preset's networks, trained as the preset says."""

from typing import Any

from normwise.records import RunConfig
from normwise.studies.preset import Network, Preset

#: As in Ioffe & Szegedy 2015, §4.1.
BATCH_SIZE = 60


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
