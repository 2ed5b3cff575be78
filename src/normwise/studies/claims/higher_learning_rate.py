"""BN allows higher learning rates."""

import math
from collections.abc import Sequence
from statistics import geometric_mean

from normwise.records import Effect, Figure, Run, RunConfig, Source
from normwise.studies.claim import Claim, Judgement, all_or_some, ioffe_szegedy
from normwise.studies.judging.bounds import LOWER, UPPER, bounds_among, times
from normwise.studies.judging.intervals import geometric_effect, over_networks
from normwise.studies.judging.run_queries import final_accuracy, result, select
from normwise.studies.judging.styles import DIVERGED, LABEL
from normwise.studies.judging.sweep_figure import sweep_figure
from normwise.studies.network_run import LEARNING_RATES, budget, learning_rate_sweep
from normwise.studies.preset import Preset

#: A learning rate is usable when the run ends within this share of the best accuracy of any rate.
_SHARE = 0.9
#: A rate below the sweep by one of its steps of about 3, where none of it is usable.
_NONE_USABLE = LEARNING_RATES[0] / 3
#: Half of the sweep's step, which is about 3 where the highest usable rates lie. Of two rates that were read
#: off as equal either may be the higher one, of two a step apart it is known which is: half a step divides these.
_HALF_STEP = math.sqrt(3)
_EFFECT = "highest usable rate with BN over without"


class HigherLearningRate(Claim):
    """The highest learning rate that still trains, with BN over without."""

    number = 2
    name = "higher_learning_rate"
    statement = "BN allows higher learning rates."
    falsifier = (
        "BN stops training at the same learning rate as the network without it, or at a lower one: on every "
        "network. On some: it depends."
    )
    rule = (
        f"A learning rate is usable for a network, norm and seed when the run neither diverged nor ended below "
        f"{_SHARE:.0%} of the best accuracy that any rate gave this network, with BN or without. The effect is the "
        "highest usable rate with BN over the highest without, per seed. A network shows the claim when the interval "
        "of that ratio, widened by half a step of the sweep on both sides, lies above 1. All networks: supported; "
        "none: not supported; else: depends."
    )
    sources = (
        ioffe_szegedy("§3.3: batch normalization enables higher learning rates"),
        Source(
            "Bjorck, Gomes, Selman & Weinberger 2018, Understanding Batch Normalization",
            "abstract: larger gradient steps",
            "https://arxiv.org/abs/1806.02375",
        ),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            budget(preset),
            f"Learning rates {', '.join(f'{lr:g}' for lr in LEARNING_RATES)}: from where training is too slow for the "
            "budget to where it fails. Where an end of the sweep is still usable, the effect's note says so.",
        )

    def runs(self, preset: Preset) -> tuple[RunConfig, ...]:
        return learning_rate_sweep(preset)

    def judge(self, preset: Preset, runs: Sequence[Run]) -> Judgement:
        ratios: list[list[float]] = []
        effects: list[Effect] = []
        figures: list[Figure] = []
        for network in preset.networks:
            own = select(runs, model=network.model, steps=network.steps)
            usable = {norm: [_usable(own, norm, seed) for seed in preset.seeds] for norm in ("batch", "none")}
            pairs = zip(usable["batch"], usable["none"], strict=True)
            ratios.append([_highest(bn) / _highest(plain) for bn, plain in pairs])
            effects.append(
                geometric_effect(
                    f"{network.model}: {_EFFECT}", "times", ratios[-1], _note(usable), resolution=_HALF_STEP
                )
            )
            figures.append(_figure(network.model, own))
        shown = [effect.low > 1 for effect in effects]
        parts = [
            f"{times(effect)} as high on {network.model}"
            for effect, network in zip(effects, preset.networks, strict=True)
        ]
        sentence = (
            "The highest learning rate that trained was, with BN, "
            + ", ".join(parts)
            + f"; the interval lies above 1 on {sum(shown)} of {len(shown)} networks."
        )
        overall = geometric_effect(
            f"all networks: {_EFFECT}",
            "times",
            over_networks(geometric_mean, ratios),
            bounds_among([effect.note for effect in effects], [network.model for network in preset.networks]),
            resolution=_HALF_STEP,
        )
        return Judgement(all_or_some(shown), sentence, (overall, *effects), tuple(figures))


def _usable(runs: Sequence[Run], norm: str, seed: int) -> list[float]:
    of_seed = select(runs, seed=seed)
    least = _SHARE * max(final_accuracy(run) for run in of_seed)
    return [
        run.config.lr
        for run in select(of_seed, norm=norm)
        if not result(run).diverged and final_accuracy(run) >= least
    ]


def _highest(usable: Sequence[float]) -> float:
    return max(usable, default=_NONE_USABLE)


def _note(usable: dict[str, list[list[float]]]) -> str:
    """How high the rates went, and which norm's do not end within the sweep; per norm, a list a seed."""
    lowest, last = LEARNING_RATES[0], LEARNING_RATES[-1]
    note = f"up to {max(map(_highest, usable['none'])):g} without BN, {max(map(_highest, usable['batch'])):g} with"
    for norm, bound in (("none", UPPER), ("batch", LOWER)):
        if any(last in rates for rates in usable[norm]):
            note += f"; {LABEL[norm]} still usable at {last:g}, the end of the sweep: {bound}"
        if any(lowest in rates for rates in usable[norm]):
            note += f"; {LABEL[norm]} still usable at {lowest:g}, the lowest of the sweep"
        if not all(usable[norm]):
            note += f"; {LABEL[norm]} no rate trained in some seed: {_NONE_USABLE:.2g} stands for it"
    return note


def _figure(model: str, runs: Sequence[Run]) -> Figure:
    return sweep_figure(
        f"learning-rates-{model}",
        f"{model}: test accuracy after training, by learning rate",
        DIVERGED,
        "learning rate",
        "lr",
        LEARNING_RATES,
        runs,
    )
