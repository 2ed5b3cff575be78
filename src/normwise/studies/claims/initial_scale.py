"""BN makes the scale of the initial weights matter less."""

import math
from collections.abc import Sequence
from statistics import mean

from normwise.records import Effect, Figure, Run, RunConfig, Source
from normwise.studies.claim import Claim, Outcome, all_or_some
from normwise.studies.interval import mean_effect, over_networks
from normwise.studies.network_run import budget, network_run
from normwise.studies.preset import Preset
from normwise.studies.select import LABEL, final_accuracy, result, select
from normwise.studies.sources import ioffe_szegedy
from normwise.studies.sweep_figure import sweep_figure

_SCALES = (0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
#: A scale is usable when the run ends within this share of the best accuracy of any scale.
_SHARE = 0.9
#: What a width that was read off the sweep may be off by: half of its step of about half a decade.
_HALF_STEP = 0.25
_EFFECT = "width with BN less width without"


class InitialScale(Claim):
    """Decades of initial scales that still train, with BN and without."""

    number = 3
    name = "initial_scale"
    statement = "BN makes the scale of the initial weights matter less."
    falsifier = (
        "The range of initial scales that trains is as wide without BN as with it: on every network. On some: it "
        "depends."
    )
    rule = (
        f"A scale is usable for a network, norm and seed when the run neither diverged nor ended below {_SHARE:.0%} "
        "of the best accuracy that any scale gave this network, with BN or without. The width is the distance in "
        "decades from the lowest usable scale to the highest, with no unusable one between. The effect is the width "
        "with BN less the width without, per seed. A network shows the claim when the interval, widened by half a "
        "step of the sweep on both sides, lies above 0. All networks: supported; none: not supported; else: depends."
    )
    sources = (
        ioffe_szegedy("§1 and §3.3: less careful about initialization, resilience to the parameter scale"),
        Source(
            "Glorot & Bengio 2010, Understanding the difficulty of training deep feedforward neural networks",
            "§4: what the initial scale does without BN",
            "https://proceedings.mlr.press/v9/glorot10a.html",
        ),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        rates = ", ".join(f"{network.lr:g} ({network.model})" for network in preset.networks)
        return (
            budget(preset),
            f"All initial weights times {', '.join(f'{scale:g}' for scale in _SCALES)}; 1 is the network's own "
            f"initialization. Learning rates {rates}, the same with and without BN.",
        )

    def runs(self, preset: Preset) -> tuple[RunConfig, ...]:
        return tuple(
            network_run(preset, network, norm, seed, options={"init_scale": scale})
            for network in preset.networks
            for norm in ("batch", "none")
            for scale in _SCALES
            for seed in preset.seeds
        )

    def judge(self, preset: Preset, runs: Sequence[Run]) -> Outcome:
        gains: list[list[float]] = []
        effects: list[Effect] = []
        figures: list[Figure] = []
        for network in preset.networks:
            own = select(runs, model=network.model)
            widths = {norm: [_width(own, norm, seed) for seed in preset.seeds] for norm in ("batch", "none")}
            gains.append([b - a for b, a in zip(widths["batch"], widths["none"], strict=True)])
            note = f"{mean(widths['none']):.1f} decades without BN, {mean(widths['batch']):.1f} with"
            for norm in ("none", "batch"):
                if max(widths[norm]) == math.log10(_SCALES[-1] / _SCALES[0]):
                    note += f"; {LABEL[norm]} that is all of the sweep"
            effects.append(
                mean_effect(f"{network.model}: {_EFFECT}", "decades", gains[-1], note, resolution=_HALF_STEP)
            )
            figures.append(_figure(network.model, own))
        shown = [effect.low > 0 for effect in effects]
        parts = [
            f"{effect.estimate:+.1f} decades on {network.model}"
            for effect, network in zip(effects, preset.networks, strict=True)
        ]
        sentence = (
            "With BN the range of initial scales that trained changed by "
            + ", ".join(parts)
            + f"; the interval lies above 0 on {sum(shown)} of {len(shown)} networks."
        )
        overall = mean_effect(
            f"all networks: {_EFFECT}", "decades", over_networks(mean, gains), resolution=_HALF_STEP
        )
        return Outcome(all_or_some(shown), sentence, (overall, *effects), tuple(figures))


def _width(runs: Sequence[Run], norm: str, seed: int) -> float:
    """Decades of the stretch of usable scales around the best one; 0 where that is not usable, or it alone."""
    least = _SHARE * max(final_accuracy(run) for run in select(runs, seed=seed))
    by_scale = [select(runs, norm=norm, seed=seed, init_scale=scale)[0] for scale in _SCALES]
    usable = [not result(run).diverged and final_accuracy(run) >= least for run in by_scale]
    low = high = by_scale.index(max(by_scale, key=final_accuracy))
    while usable[low] and low > 0 and usable[low - 1]:
        low -= 1
    while usable[high] and high < len(_SCALES) - 1 and usable[high + 1]:
        high += 1
    return math.log10(_SCALES[high] / _SCALES[low])


def _figure(model: str, runs: Sequence[Run]) -> Figure:
    return sweep_figure(
        f"initial-scale-{model}",
        f"{model}: test accuracy after training, by scale of the initial weights",
        "1 is the network's own scale.",
        "factor on the initial weights",
        "init_scale",
        _SCALES,
        runs,
    )
