"""BN allows higher learning rates."""

import math
from collections.abc import Sequence
from statistics import geometric_mean

from normwise.records import Effect, Figure, Run, RunConfig, Source
from normwise.studies.claim import Claim, Outcome, all_or_some
from normwise.studies.interval import geometric_effect, over_networks
from normwise.studies.learning_rates import LEARNING_RATES, sweep
from normwise.studies.network_run import budget
from normwise.studies.preset import Preset
from normwise.studies.select import LABEL, final_accuracy, result, select
from normwise.studies.sources import ioffe_szegedy
from normwise.studies.sweep_figure import sweep_figure

#: A learning rate is usable when the run ends within this share of the best accuracy of any rate.
_SHARE = 0.9
#: A rate below the sweep, where none of it is usable.
_NONE_USABLE = LEARNING_RATES[0] / 3
#: What a rate that was read off the sweep may be off by: half of its step of about 3.
_HALF_STEP = math.sqrt(3)
_EFFECT = "highest usable rate with BN over without"


class HigherLearningRate(Claim):
    """The highest learning rate that still trains, with BN over without."""

    number = 2
    name = "higher_learning_rate"
    statement = "BN allows higher learning rates."
    falsifier = (
        "On some network, BN stops training at the same learning rate as the network without it, or lower."
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
            f"Learning rates {', '.join(f'{lr:g}' for lr in LEARNING_RATES)}, until training fails on both sides: "
            "with BN and without, at the low end (too slow for the budget) and at the high end.",
        )

    def runs(self, preset: Preset) -> tuple[RunConfig, ...]:
        return sweep(preset)

    def judge(self, preset: Preset, runs: Sequence[Run]) -> Outcome:
        ratios: list[list[float]] = []
        effects: list[Effect] = []
        figures: list[Figure] = []
        for network in preset.networks:
            own = select(runs, model=network.model, steps=network.steps)
            highest = {
                norm: [_highest(own, norm, seed) for seed in preset.seeds] for norm in ("batch", "none")
            }
            ratios.append([b / a for b, a in zip(highest["batch"], highest["none"], strict=True)])
            note = f"up to {max(highest['none']):g} without BN, {max(highest['batch']):g} with"
            for norm in ("none", "batch"):
                if max(highest[norm]) == LEARNING_RATES[-1]:
                    note += f"; {LABEL[norm]} that is the end of the sweep"
                if min(highest[norm]) == _NONE_USABLE:
                    note += f"; {LABEL[norm]} no rate trained in some seed: {_NONE_USABLE:g} stands for it"
            effects.append(
                geometric_effect(
                    f"{network.model}: {_EFFECT}", "times", ratios[-1], note, resolution=_HALF_STEP
                )
            )
            figures.append(_figure(network.model, own))
        shown = [effect.low > 1 for effect in effects]
        parts = [
            f"{effect.estimate:.2g} times as high on {network.model}"
            for effect, network in zip(effects, preset.networks, strict=True)
        ]
        sentence = (
            "The highest learning rate that trained was, with BN, "
            + ", ".join(parts)
            + f"; the interval lies above 1 on {sum(shown)} of {len(shown)} networks."
        )
        overall = geometric_effect(
            f"all networks: {_EFFECT}", "times", over_networks(geometric_mean, ratios), resolution=_HALF_STEP
        )
        return Outcome(all_or_some(shown), sentence, (overall, *effects), tuple(figures))


def _highest(runs: Sequence[Run], norm: str, seed: int) -> float:
    of_seed = select(runs, seed=seed)
    least = _SHARE * max(final_accuracy(run) for run in of_seed)
    usable = [
        run.config.lr
        for run in select(of_seed, norm=norm)
        if not result(run).diverged and final_accuracy(run) >= least
    ]
    return max(usable, default=_NONE_USABLE)


def _figure(model: str, runs: Sequence[Run]) -> Figure:
    return sweep_figure(
        f"learning-rates-{model}",
        f"{model}: test accuracy after training, by learning rate",
        "A run that diverged has outputs that are not numbers, and so no sample right.",
        "learning rate",
        "lr",
        LEARNING_RATES,
        runs,
    )
