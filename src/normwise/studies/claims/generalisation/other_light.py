"""Networks tested in another light than they were trained in."""

from dataclasses import replace

from normwise.records import Run, RunConfig, Source
from normwise.studies.arms import Search
from normwise.studies.claim import Rate
from normwise.studies.judging.run_queries import result
from normwise.studies.networks import arm, tuned
from normwise.studies.preset import Network, Preset

#: Light of the test images, as the measure ``shifted_accuracy`` names it.
CLEAN = "1"
_NETWORKS = ("dense_bn", "mnist_cnn")
#: Steps in quick, fewer than the preset's: both have learnt what there is to learn by then.
_QUICK_STEPS = {"dense_bn": 300, "mnist_cnn": 120}
_RATES = (0.1, 0.3)
SCHNEIDER = Source(
    "Schneider et al. 2020, Improving robustness against common corruptions by covariate shift adaptation",
    "abstract and §3: statistics of the shifted images themselves mend much of what is lost",
    "https://arxiv.org/abs/2006.16971",
)


def networks(preset: Preset) -> tuple[Network, ...]:
    """Return the networks that are tested."""
    return tuple(preset.networks[name] for name in _NETWORKS)


def longer(preset: Preset) -> int:
    """Return how many times as many steps images in mixed light get, with BN and without: they take longer to learn."""
    return preset.pick(quick=2, full=6)


def training_sentence(preset: Preset) -> str:
    """Return the learning rates and the steps in good light, as a sentence of a protocol."""
    steps = ", ".join(f"{_steps(preset, one):,} for {one.gloss.en}" for one in networks(preset))
    return f"Learning rates {' and '.join(map(str, _RATES))} are tried with BN and without; steps with either: {steps}."


def searches(preset: Preset) -> tuple[Search, ...]:
    """Return the choices of a learning rate, in the light that the images come in."""
    return tuple(
        tuned(preset, config, _RATES) for network in networks(preset) for config in _arms(preset, network)
    )


def trained(preset: Preset, network: Network, rate: Rate) -> tuple[RunConfig, ...]:
    """Return the runs on images as they come, with BN and without."""
    return tuple(
        replace(config, lr=rate(tuned(preset, config, _RATES)), measures=("shifted_accuracy",))
        for config in _arms(preset, network)
    )


def trained_in_mixed_light(preset: Preset, network: Network, rate: Rate) -> tuple[RunConfig, ...]:
    """Return the runs on images each in a light of its own, with BN and without, at the rates of :func:`trained`."""
    times = longer(preset)
    return tuple(
        replace(
            config,
            lr=rate(tuned(preset, config, _RATES)),
            data=f"{preset.data}-in-mixed-light",
            steps=config.steps * times,
            eval_every=config.eval_every * times,
        )
        for config in _arms(preset, network)
    )


def accuracy(run: Run, statistics: str, light: str) -> float:
    """Return the test accuracy in a light, in percent, with "running" statistics or those of the "batch"."""
    return 100 * result(run).measured["shifted_accuracy"][statistics][light]


def lost(run: Run, light: str) -> float:
    """Return the points lost in another light, with running statistics."""
    return accuracy(run, "running", CLEAN) - accuracy(run, "running", light)


def _arms(preset: Preset, network: Network) -> tuple[RunConfig, ...]:
    return tuple(arm(preset, network, norm, steps=_steps(preset, network)) for norm in ("batch", "none"))


def _steps(preset: Preset, network: Network) -> int:
    return preset.pick(quick=_QUICK_STEPS[network.name], full=network.steps)
