"""Padding in the statistics does harm, and a mask repairs it."""

from collections.abc import Sequence
from functools import partial
from statistics import mean

from normwise.records import Effect, Figure, Run, RunConfig, Series, Source
from normwise.studies.claim import Claim, Judgement, all_or_some
from normwise.studies.judging.intervals import mean_effect, over_networks
from normwise.studies.judging.run_queries import gains, result, select
from normwise.studies.judging.styles import LABEL, STYLE
from normwise.studies.network_run import sequence_budget, sequence_run
from normwise.studies.preset import Preset

_NORMS = ("batch", "batch_unmasked")
#: Percentage points that padding must cost for the claim, and that a mask may leave.
_LEAST, _LEFT = 1.0, 0.1
_KINDS = {"running": "running statistics", "batch": "the batch's own statistics"}


class Padding(Claim):
    """Test accuracy as test batches are padded more and more, with padding in the statistics and without."""

    number = 8
    name = "padding"
    statement = "Padding in BN's statistics does harm, and masking repairs it."
    falsifier = (
        f"With padding in its statistics BN loses no more than {_LEAST:g} point, however much a test batch is padded "
        "and with whichever statistics it is evaluated; or with a mask it loses as well: every network. In some "
        "cases: it depends."
    )
    rule = (
        "The harm is the test accuracy with a mask less that without, where test batches are padded to 8 times their "
        "longest sequence, per seed, in percentage points; once with running statistics and once with the batch's "
        f"own, as in training. A network shows the claim in one of these two ways when the interval of the harm lies "
        f"above {_LEAST:g} point, and its accuracy with a mask is within {_LEFT:g} point of that without any added "
        "padding. All networks both ways: supported; none either way: not supported; else: depends."
    )
    sources = (
        Source(
            "Laurent, Pereyra, Brakel, Zhang & Bengio 2015, Batch Normalized Recurrent Neural Networks",
            "§3.3: statistics over batch and time, of unpadded sequences",
            "https://arxiv.org/abs/1510.01378",
        ),
        Source(
            "PyTorch issue 70529, Masked BatchNorm",
            "the request, and why statistics over padding are wrong",
            "https://github.com/pytorch/pytorch/issues/70529",
        ),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            f"Recurrent networks: {sequence_budget(preset.sequences, preset.seeds)}",
            "Recurrent layers stop at the end of a sequence in any case: only BN between them is told the lengths, or "
            "is not and takes the zeros behind the end for real, in training and in the test. Test batches of 32 "
            "are padded to 1, 2, 4 and 8 times their longest sequence. With running statistics more padding at the "
            "test can't change anything then, and what harm there is comes from training.",
        )

    def runs(self, preset: Preset) -> tuple[RunConfig, ...]:
        return tuple(
            sequence_run(network, norm, seed, measures=("padded_accuracy",))
            for network in preset.sequences
            for norm in _NORMS
            for seed in preset.seeds
        )

    def judge(self, preset: Preset, runs: Sequence[Run]) -> Judgement:
        harms: list[list[float]] = []
        effects: list[Effect] = []
        shown: list[bool] = []
        parts: list[str] = []
        for network in preset.sequences:
            masked, unmasked = (select(runs, model=network.model, norm=norm) for norm in _NORMS)
            for kind, name in _KINDS.items():
                harm = gains(masked, unmasked, partial(_most_padded, kind))
                effect = mean_effect(
                    f"{network.model}: what padding costs, with {name}", "percentage points", harm
                )
                left = max(
                    100 * abs(_accuracies(run, kind)[-1] - _accuracies(run, kind)[0]) for run in masked
                )
                shown.append(effect.low > _LEAST and left <= _LEFT)
                effects.append(effect)
                parts.append(
                    f"{effect.estimate:.1f} points on {network.model} with {name} (with a mask {left:.2g})"
                )
                if kind == "batch":
                    harms.append(harm)
        sentence = (
            "Test batches padded to 8 times their longest sequence cost BN without a mask "
            + ", ".join(parts)
            + f"; by the rule harm that a mask repairs in {sum(shown)} of {len(shown)} cases."
        )
        figures = tuple(
            _figure(network.model, select(runs, model=network.model)) for network in preset.sequences
        )
        overall = mean_effect(
            "all networks: what padding costs BN, with the batch's own statistics",
            "percentage points",
            over_networks(mean, harms),
        )
        return Judgement(all_or_some(shown), sentence, (overall, *effects), figures)


def _most_padded(kind: str, run: Run) -> float:
    return _accuracies(run, kind)[-1]


def _accuracies(run: Run, kind: str) -> list[float]:
    """By growing padding."""
    by_factor = result(run).measured["padded_accuracy"][kind]
    return [by_factor[factor] for factor in sorted(by_factor, key=int)]


def _figure(model: str, runs: Sequence[Run]) -> Figure:
    factors = tuple(sorted(result(runs[0]).measured["padded_accuracy"]["batch"], key=int))

    def series(norm: str) -> Series:
        of_factor = list(zip(*(_accuracies(run, "batch") for run in select(runs, norm=norm)), strict=True))
        return Series(
            label=LABEL[norm],
            x=factors,
            y=tuple(map(mean, of_factor)),
            low=tuple(map(min, of_factor)),
            high=tuple(map(max, of_factor)),
            style=STYLE[norm],
        )

    return Figure(
        name=f"padding-{model}",
        title=f"{model}: test accuracy as test batches are padded",
        caption="With the batch's own statistics, as in training. Mean over seeds; the band spans the lowest and the "
        "highest seed.",
        x_label="padded to so many times the longest sequence of the batch",
        y_label="test accuracy",
        y_percent=True,
        series=tuple(map(series, _NORMS)),
    )
