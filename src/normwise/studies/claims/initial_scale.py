"""BN makes the scale of the initial weights matter less."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from normwise.records import Effect, Figure, Run, RunConfig, Source
from normwise.studies.claim import Claim, Judgement, all_or_some, ioffe_szegedy
from normwise.studies.judging.bounds import LOWER, UPPER, bounds_among, hedge
from normwise.studies.judging.intervals import mean_effect, over_networks
from normwise.studies.judging.run_queries import final_accuracy, result, select
from normwise.studies.judging.styles import DIVERGED, LABEL
from normwise.studies.judging.sweep_figure import sweep_figure
from normwise.studies.network_run import budget, network_run
from normwise.studies.preset import Preset

_SCALES = (0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
#: A scale is usable when the run ends within this share of the best accuracy of any scale.
_SHARE = 0.9
_EFFECT = "width with BN less width without"


class InitialScale(Claim):
    """Decades of initial scales that still train, with BN and without."""

    number = 3
    name = "initial_scale"
    statement = "BN makes the scale of the initial weights matter less."
    falsifier = (
        "The range of initial scales that trains is as wide without BN as with it, or may be, as it goes on beyond "
        "the sweep: on every network. On some: it depends."
    )
    rule = (
        f"A scale is usable for a network, norm and seed when the run neither diverged nor ended below {_SHARE:.0%} "
        "of the best accuracy that any scale gave this network, with BN or without. The width is the distance in "
        "decades from the lowest usable scale to the highest, with no unusable one between. The effect is the width "
        "with BN less the width without, per seed. A network shows the claim when the interval, widened on both sides "
        "by half a step of the sweep (the widest at which one of its ranges ends), lies above 0 and the usable range "
        "without BN reaches neither end of the sweep in any seed: else what lies beyond is not known, and the "
        "difference is only an upper bound. A range with BN that reaches an end makes it a lower bound, which does "
        "not hinder. All networks: supported; none: not supported; else: depends."
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
            "A range that reaches an end of the sweep may go on beyond it: its width is what the sweep saw of it, and "
            "the effect's note says so.",
        )

    def runs(self, preset: Preset) -> tuple[RunConfig, ...]:
        return tuple(
            network_run(preset, network, norm, seed, options={"init_scale": scale})
            for network in preset.networks
            for norm in ("batch", "none")
            for scale in _SCALES
            for seed in preset.seeds
        )

    def judge(self, preset: Preset, runs: Sequence[Run]) -> Judgement:
        networks = [
            _Network.of(network.model, select(runs, model=network.model), preset.seeds)
            for network in preset.networks
        ]
        effects = [network.effect for network in networks]
        cut = [network.model for network in networks if network.cut_off]
        shown = [network.effect.low > 0 and not network.cut_off for network in networks]
        parts = [
            f"{hedge(network.effect.note)}{network.effect.estimate:+.1f} decades on {network.model}"
            for network in networks
        ]
        sentence = (
            "With BN the range of initial scales that trained changed by "
            + ", ".join(parts)
            + f"; by the rule that shows the claim on {sum(shown)} of {len(shown)} networks"
            + (f"; the sweep cuts off the range without BN on {', '.join(cut)}." if cut else ".")
        )
        overall = mean_effect(
            f"all networks: {_EFFECT}",
            "decades",
            over_networks(mean, [network.gains for network in networks]),
            bounds_among([effect.note for effect in effects], [network.model for network in networks]),
            resolution=mean(network.resolution for network in networks),
        )
        figures = tuple(_figure(network.model, select(runs, model=network.model)) for network in networks)
        return Judgement(all_or_some(shown), sentence, (overall, *effects), figures)


@dataclass(frozen=True)
class _Network:
    """One network, and the ranges of usable scales by norm, one a seed."""

    model: str
    ranges: "dict[str, list[_Range]]"

    @staticmethod
    def of(model: str, runs: Sequence[Run], seeds: Sequence[int]) -> "_Network":
        """Measure the network on all of its runs."""
        return _Network(
            model, {norm: [_range(runs, norm, seed) for seed in seeds] for norm in ("batch", "none")}
        )

    @property
    def gains(self) -> list[float]:
        """Width with BN less width without, per seed."""
        pairs = zip(self.ranges["batch"], self.ranges["none"], strict=True)
        return [bn.width - plain.width for bn, plain in pairs]

    @property
    def resolution(self) -> float:
        """The error of a gain whose widths were read off the sweep."""
        return _half_step(self.ranges["batch"] + self.ranges["none"])

    @property
    def effect(self) -> Effect:
        """The effect that the rule judges."""
        name = f"{self.model}: {_EFFECT}"
        return mean_effect(name, "decades", self.gains, _note(self.ranges), resolution=self.resolution)

    @property
    def cut_off(self) -> bool:
        """True where a range without BN reaches an end of the sweep."""
        return any(plain.cut_off for plain in self.ranges["none"])


@dataclass(frozen=True)
class _Range:
    """The stretch of usable scales around the best one, from ``low`` to ``high``: places in the sweep."""

    low: int
    high: int
    usable: bool

    @property
    def width(self) -> float:
        """In decades; 0 where the best scale is not usable, or it alone."""
        return math.log10(_SCALES[self.high] / _SCALES[self.low])

    @property
    def cut_off(self) -> set[float]:
        """The ends of the sweep that it reaches."""
        ends = {_SCALES[0], _SCALES[-1]} & {_SCALES[self.low], _SCALES[self.high]}
        return ends if self.usable else set()

    @property
    def steps(self) -> list[float]:
        """In decades, the steps of the sweep between its ends and the unusable scales beside them."""
        beside = ((self.low - 1, self.low), (self.high, self.high + 1))
        return [
            math.log10(_SCALES[above] / _SCALES[below])
            for below, above in beside
            if self.usable and below >= 0 and above < len(_SCALES)
        ]


def _range(runs: Sequence[Run], norm: str, seed: int) -> _Range:
    least = _SHARE * max(final_accuracy(run) for run in select(runs, seed=seed))
    by_scale = [select(runs, norm=norm, seed=seed, init_scale=scale)[0] for scale in _SCALES]
    usable = [not result(run).diverged and final_accuracy(run) >= least for run in by_scale]
    low = high = by_scale.index(max(by_scale, key=final_accuracy))
    while usable[low] and low > 0 and usable[low - 1]:
        low -= 1
    while usable[high] and high < len(_SCALES) - 1 and usable[high + 1]:
        high += 1
    return _Range(low, high, usable[low])


def _half_step(ranges: Sequence[_Range]) -> float:
    """What a width that was read off the sweep may be off by; 0 where all of its ends are the sweep's."""
    return max((step for own in ranges for step in own.steps), default=0.0) / 2


def _note(ranges: dict[str, list[_Range]]) -> str:
    """How wide the ranges are, and which are cut off at which end of the sweep; per norm, a range a seed."""
    widths = {norm: mean(own.width for own in of_norm) for norm, of_norm in ranges.items()}
    note = f"{widths['none']:.1f} decades without BN, {widths['batch']:.1f} with"
    for norm, bound in (("none", UPPER), ("batch", LOWER)):
        cut = sorted(set[float]().union(*(own.cut_off for own in ranges[norm])))
        if cut:
            ends = " and ".join(f"{scale:g}" for scale in cut)
            note += (
                f"; {LABEL[norm]} still usable at {ends}, the end{'s' * (len(cut) > 1)} of the sweep: {bound}"
            )
        if not all(own.usable for own in ranges[norm]):
            note += f"; {LABEL[norm]} no scale trained in some seed: 0 decades"
    return note


def _figure(model: str, runs: Sequence[Run]) -> Figure:
    return sweep_figure(
        f"initial-scale-{model}",
        f"{model}: test accuracy after training, by scale of the initial weights",
        f"1 is the network's own scale. {DIVERGED}",
        "factor on the initial weights",
        "init_scale",
        _SCALES,
        runs,
    )
