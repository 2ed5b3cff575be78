"""Padding in the statistics does harm, and a mask repairs it."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from normwise.records import Bilingual, Case, Figure, Run, RunConfig, Series, Source, Verdict
from normwise.studies.arms import Runs, Search
from normwise.studies.case_plan import CasePlan, IdentityPlan
from normwise.studies.claim import Claim, Rate
from normwise.studies.claims.reasons.sequence_runs import PADDED, at_its_rate, budgets_sentence, search
from normwise.studies.judging.run_queries import result
from normwise.studies.judging.styles import LABEL, STYLE
from normwise.studies.networks import seeds_sentence
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import verdict_first

#: Percentage points that padding must cost for the claim, and that a mask may leave.
_SMALLEST, _LEFT = 1.0, 0.1
_KINDS = {
    "running": Bilingual("running statistics", "滑动统计量"),
    "batch": Bilingual("the batch's own statistics", "小批量自身的统计量"),
}
_HARM: dict[Verdict, Bilingual] = {
    "supported": Bilingual(
        "Padding in BN's statistics did harm, and a mask repaired it.",
        "填充混入 BN 的统计量有害，用掩码即可修复。",
    ),
    "not supported": Bilingual(
        "Padding in BN's statistics did no harm worth mentioning.", "填充混入 BN 的统计量并没有明显的害处。"
    ),
    "depends": Bilingual(
        "Padding in BN's statistics did harm in some cases only.", "填充混入 BN 的统计量只在部分情况下有害。"
    ),
    "undecided": Bilingual(
        "Whether padding in BN's statistics does harm stayed open.",
        "填充混入 BN 的统计量是否有害，尚无定论。",
    ),
}


class Padding(Claim):
    """Test accuracy where test batches are padded much, with a mask less without."""

    number = 450
    name = "padding"
    group = "reasons"
    statement = Bilingual(
        "Padding in BN's statistics does harm, and a mask repairs it.",
        "填充位置混入 BN 的统计量有害，用掩码排除即可修复。",
    )
    says = ()
    falsifier = (
        f"With padding in its statistics BN loses less than {_SMALLEST:g} point, however much a test batch is padded: "
        "every network, with running statistics and with the batch's own."
    )
    rule = (
        "The effect is the test accuracy with a mask less that without, where test batches are padded to 8 times their "
        "longest sequence, in percentage points; once with running statistics and once with the batch's own. The "
        f"smallest that matters is {_SMALLEST:g}. Control: with a mask the padding changes the accuracy by no more "
        f"than {_LEFT:g} points."
    )
    dated = "2026-11-27"
    revised = (
        "The first rule asked every case to hold with three seeds, knew no smallest effect, and trained at one "
        "learning rate."
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

    def seeds(self, preset: Preset) -> tuple[int, ...]:
        # The loss differs much from one seed to the next.
        following = preset.seeds[-1] + 1
        return (*preset.seeds, *preset.pick(quick=(), full=range(following, following + 3)))

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            budgets_sentence(preset, _networks(preset)),
            "Trained with as little padding as the lengths of a batch need, tested with much: batches of 32, padded to "
            "1, 2, 4 and 8 times their longest sequence. Recurrent layers stop at the end of a sequence in any case: "
            "only BN between them is told the lengths, or is not and takes the zeros behind the end for real. With "
            "running statistics more padding at the test changes nothing: what harm there is comes from training.",
            seeds_sentence(preset, self.seeds(preset))
            + preset.pick(quick=" BN without a mask has the learning rate that suits BN with one.", full=""),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return tuple(
            search(preset, network, norm) for network in _networks(preset) for norm in _tuned(preset)
        )

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                f"{network.name}, {kind}",
                Bilingual(f"{network.gloss.en} ({words.en})", f"{network.gloss.zh}（{words.zh}）"),
                network.family,
                _arms(preset, rate, network),
                value=lambda masked, unmasked, kind=kind: 100 * (_most(masked, kind) - _most(unmasked, kind)),
                effect="accuracy with a mask less accuracy without",
                unit="percentage points",
                smallest=_SMALLEST,
            )
            for network in _networks(preset)
            for kind, words in _KINDS.items()
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[IdentityPlan, ...]:
        return tuple(
            IdentityPlan(
                f"{network.name}, mask",
                Bilingual(
                    f"a mask leaves padding out of the {network.gloss.en}",
                    f"掩码排除填充（{network.gloss.zh}）",
                ),
                network.family,
                (_arms(preset, rate, network)[0],),
                deviation=_left,
                effect="change of the accuracy by padding, with a mask",
                unit="percentage points",
                rounding=_LEFT,
            )
            for network in _networks(preset)
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        return tuple(
            _figure(network, [runs.of(config) for config in _arms(preset, runs.rate, network)])
            for network in _networks(preset)
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        measured = Bilingual(
            "Accuracy that a mask gains where test batches are padded to 8 times their length",
            "测试批填充到 8 倍长度时，掩码使准确率变化",
        )
        return verdict_first(found, _HARM, measured, cases)

    def advice(self, found: Verdict) -> Bilingual:
        return Bilingual(
            "Tell BN the lengths of padded sequences (SequenceBatchNorm): a mask makes padding harmless, whatever it "
            "costs without.",
            "对有填充的序列，把真实长度告诉 BN（SequenceBatchNorm）：不论不用掩码损失多少，用了就不受填充影响。",
        )


def _networks(preset: Preset) -> list[Network]:
    return [preset.sequences[name] for name in PADDED]


def _tuned(preset: Preset) -> tuple[str, ...]:
    """Return the norms that a learning rate is chosen for."""
    return preset.pick(quick=("batch",), full=("batch", "batch_unmasked"))


def _arms(preset: Preset, rate: Rate, network: Network) -> tuple[RunConfig, RunConfig]:
    """Return BN with a mask and without, each at the learning rate that suits it, or both at that of the first."""
    masked = at_its_rate(preset, rate, network, "batch")
    own = "batch_unmasked" if "batch_unmasked" in _tuned(preset) else "batch"
    return masked, replace(masked, norm="batch_unmasked", lr=rate(search(preset, network, own)))


def _most(run: Run, kind: str) -> float:
    return _accuracies(run, kind)[-1]


def _left(masked: Run) -> float:
    return max(abs(100 * (_most(masked, kind) - _accuracies(masked, kind)[0])) for kind in _KINDS)


def _accuracies(run: Run, kind: str) -> list[float]:
    """Return the accuracies by growing padding."""
    by_factor = result(run).measured["padded_accuracy"][kind]
    return [by_factor[factor] for factor in sorted(by_factor, key=int)]


def _figure(network: Network, groups: Sequence[Sequence[Run]]) -> Figure:
    factors = tuple(sorted(result(groups[0][0]).measured["padded_accuracy"]["batch"], key=int))

    def series(runs: Sequence[Run]) -> Series:
        of_factor = list(zip(*(_accuracies(run, "batch") for run in runs), strict=True))
        norm = runs[0].config.norm
        return Series(
            label=LABEL[norm],
            x=factors,
            y=tuple(map(fmean, of_factor)),
            low=tuple(map(min, of_factor)),
            high=tuple(map(max, of_factor)),
            style=STYLE[norm],
        )

    return Figure(
        name=f"padding-{network.name}",
        title=f"{network.gloss.en}: test accuracy as test batches are padded",
        caption="With the batch's own statistics, as in training. Mean over seeds; the band spans the lowest and the "
        "highest seed.",
        x_label="padded to so many times the longest sequence of the batch",
        y_label="test accuracy",
        y_percent=True,
        series=tuple(map(series, groups)),
    )
