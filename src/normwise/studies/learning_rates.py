"""The sweep of learning rates that two claims read: each network, with BN and without, from too slow for
the budget to where training fails."""

from normwise.records import RunConfig
from normwise.studies.network_run import network_run
from normwise.studies.preset import Preset

#: Steps of about 3, but for one of 10 at the low end: no highest usable rate is expected there.
LEARNING_RATES = (0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


def sweep(preset: Preset) -> tuple[RunConfig, ...]:
    """A run for each network, norm, learning rate and seed, evaluated on its way."""
    return tuple(
        network_run(preset, network, norm, seed, lr=lr, eval_every=network.eval_every)
        for network in preset.networks
        for norm in ("batch", "none")
        for lr in LEARNING_RATES
        for seed in preset.seeds
    )
