"""BN is said to improve models of speech, and to adapt them to new speakers and volumes."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from normwise.records import Bilingual, Case, Figure, Run, RunConfig, Saying, Series, Source, Verdict
from normwise.studies.arms import Runs, Search
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate
from normwise.studies.claims.reasons.sequence_runs import (
    accuracy_case,
    at_its_rate,
    budgets_sentence,
    learns,
    loud,
    search,
)
from normwise.studies.judging.run_queries import result
from normwise.studies.judging.styles import LABEL, STYLE
from normwise.studies.networks import seeds_sentence
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import verdict_first

#: Percentage points that matter: of accuracy, of what another volume costs, and of what it must cost without BN.
_SMALLEST, _LOST, _MATTERS = 1.0, 2.0, 5.0
#: Training recordings of known speakers.
_RECORDINGS = {"tones": 800, "fsdd": 2_700}
_VOLUMES = {
    "0.1": Bilingual("a tenth as loud", "音量降到十分之一"),
    "10": Bilingual("10 times as loud", "音量放大 10 倍"),
}
_LAURENT = Source(
    "Laurent, Pereyra, Brakel, Zhang & Bengio 2015, Batch Normalized Recurrent Neural Networks",
    "§5.1: speech; BN between layers trains faster, and generalises no better",
    "https://arxiv.org/abs/1510.01378",
)
_AHEAD: dict[Verdict, Bilingual] = {
    "supported": Bilingual("BN improved the speech model.", "BN 提高了语音模型的准确率。"),
    "not supported": Bilingual("BN did not improve the speech model.", "BN 没有提高语音模型的准确率。"),
    "depends": Bilingual(
        "BN improved the speech model for some speakers only.", "BN 只对部分说话人提高了语音模型的准确率。"
    ),
    "undecided": Bilingual(
        "Whether BN improves the speech model stayed open.", "BN 能否提高语音模型的准确率，尚无定论。"
    ),
}
_VOLUME: dict[Verdict, Bilingual] = {
    "supported": Bilingual("With BN another volume did less harm.", "用 BN 时，音量变化的影响更小。"),
    "not supported": Bilingual("BN did not help against another volume.", "面对音量变化，BN 没有帮助。"),
    "depends": Bilingual("BN helped against one change of volume only.", "BN 只对一种音量变化有帮助。"),
    "undecided": Bilingual(
        "Whether BN helps against another volume stayed open.", "BN 能否应对音量变化，尚无定论。"
    ),
}


class Speech(Claim):
    """Accuracy of two LSTM layers over recordings, with BN less without."""

    number = 441
    name = "speech"
    group = "reasons"
    statement = Bilingual(
        "BN behind LSTM layers clearly improves a speech model that trains for a few epochs.",
        "训练几轮时，LSTM 后加 BN 能显著提高声学模型的性能。",
    )
    says = (
        Saying("003", "语音识别中的批标准化: 2. 实际案例"),
        Saying("003", "语音识别中的批标准化: 3. 应用场景"),
    )
    falsifier = (
        f"With BN the accuracy is less than {_SMALLEST:g} point above that without: for the speakers that were trained "
        "on, and for a new one."
    )
    rule = (
        "For each norm the learning rate is chosen that ends highest. The effect is the accuracy after a few epochs, "
        "as many as the budget has, with BN less that without, in percentage points, of which "
        f"{_SMALLEST:g} matters; once for known speakers, once for one who was never heard in training. Neither is at "
        "its best by then: a lead may be one of speed. Control: without BN the network learns its task."
    )
    dated = "2026-11-27"
    sources = (_LAURENT,)

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        network = preset.sequences["speech_lstm"]
        return (
            f"{budgets_sentence(preset, [network])} That is about {_epochs(network)} epochs.",
            preset.pick(
                quick="A new speaker is tried in full only.",
                full="Features of each recording are normalised by themselves. The new speaker is the last by the "
                "alphabet; the learning rates are those for known speakers.",
            ),
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return _searches(preset)

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        network = preset.sequences["speech_lstm"]
        known = [at_its_rate(preset, rate, network, norm) for norm in ("batch", "none")]
        new = [replace(config, data_options={"split": "speaker"}, measures=()) for config in known]
        compared = [(known, Bilingual("known speakers", "训练过的说话人"))]
        # The voices of the made-up recordings are ranges of pitch, and no speakers.
        compared += preset.pick(quick=[], full=[(new, Bilingual("a new speaker", "新的说话人"))])
        return tuple(
            accuracy_case(
                network,
                *pair,
                smallest=_SMALLEST,
                effect="accuracy with BN less accuracy without",
                where=where,
            )
            for pair, where in compared
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        network = preset.sequences["speech_lstm"]
        return (learns(network, at_its_rate(preset, rate, network, "none")),)

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        measured = Bilingual(
            "Its accuracy after a few epochs, compared with no BN", "训练几轮后，与不用 BN 相比，准确率"
        )
        return verdict_first(found, _AHEAD, measured, cases)

    def advice(self, found: Verdict) -> Bilingual:
        return Bilingual(
            "Try BN behind the LSTM layers of a speech model, and judge it on speakers that it has not heard.",
            "可以在语音模型的 LSTM 层后试用 BN，但要用没听过的说话人来评判。",
        )


class SpeechVolume(Claim):
    """Accuracy that another volume costs, without BN less with BN."""

    number = 442
    name = "speech_volume"
    group = "reasons"
    statement = Bilingual(
        "With BN speech recognition adapts to another volume.", "用 BN 后，语音识别能适应音量变化。"
    )
    says = (Saying("003", "语音识别中的批标准化: 3. 应用场景"),)
    falsifier = f"With BN another volume costs at most {_LOST:g} points less than without: at both volumes."
    rule = (
        "The effect is how many points of accuracy another volume costs without BN less how many with BN, with running "
        f"statistics. The smallest that matters is {_LOST:g}. Control: without BN the worse of the two volumes "
        f"costs more than {_MATTERS:g} points."
    )
    dated = "2026-11-27"
    sources = (_LAURENT,)

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            budgets_sentence(preset, [preset.sequences["speech_lstm"]]),
            "Features keep the loudness of a recording: all are shifted and scaled by the same numbers. Trained on the "
            "recordings as they are; tested with all test recordings 0.1, 0.3, 1, 3 and 10 times as loud. (Features "
            "that are normalised by recording, as is usual, take the volume out: nothing is left to adapt to.)",
            *preset.pick(quick=(), full=("The learning rates are those for features without loudness.",)),
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return _searches(preset)

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        network = preset.sequences["speech_lstm"]
        return tuple(
            CasePlan(
                f"{network.name}, gain {gain}",
                words,
                network.family,
                _arms(preset, rate),
                value=lambda batch, none, gain=gain: _lost(none, gain) - _lost(batch, gain),
                effect="points lost without BN less points lost with BN",
                unit="percentage points",
                smallest=_LOST,
            )
            for gain, words in _VOLUMES.items()
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        network = preset.sequences["speech_lstm"]
        return (
            CasePlan(
                f"{network.name}, volume",
                Bilingual("without BN another volume costs accuracy", "不用 BN 时音量变化会损失准确率"),
                network.family,
                (_arms(preset, rate)[1],),
                value=lambda none: max(_lost(none, gain) for gain in _VOLUMES),
                effect="points lost without BN",
                unit="percentage points",
                smallest=_MATTERS,
            ),
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        return (_figure([runs.of(config) for config in _arms(preset, runs.rate)]),)

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        measured = Bilingual("Accuracy that BN saves there", "此时 BN 挽回的准确率")
        return verdict_first(found, _VOLUME, measured, cases)

    def advice(self, found: Verdict) -> Bilingual:
        return Bilingual(
            "Normalise the features of each recording by themselves: that takes volume out exactly, with BN or "
            "without.",
            "对每段录音的特征单独做归一化：无论是否用 BN，都能精确消除音量的影响。",
        )


def _epochs(network: Network) -> int:
    return round(network.steps * network.batch_size / _RECORDINGS[network.data])


def _searches(preset: Preset) -> tuple[Search, ...]:
    return tuple(search(preset, preset.sequences["speech_lstm"], norm) for norm in ("batch", "none"))


def _arms(preset: Preset, rate: Rate) -> tuple[RunConfig, RunConfig]:
    """Return the runs with BN and without, whose features tell loudness."""
    batch, none = (loud(preset, rate, preset.sequences["speech_lstm"], norm) for norm in ("batch", "none"))
    return batch, none


def _lost(run: Run, gain: str) -> float:
    by_gain = result(run).measured["gain_accuracy"]
    return 100 * (by_gain["1"] - by_gain[gain])


def _figure(groups: Sequence[Sequence[Run]]) -> Figure:
    gains = sorted(result(groups[0][0]).measured["gain_accuracy"], key=float)

    def series(runs: Sequence[Run]) -> Series:
        values = [[result(run).measured["gain_accuracy"][gain] for run in runs] for gain in gains]
        norm = runs[0].config.norm
        return Series(
            label=LABEL[norm],
            x=tuple(map(float, gains)),
            y=tuple(map(fmean, values)),
            low=tuple(map(min, values)),
            high=tuple(map(max, values)),
            style=STYLE[norm],
        )

    return Figure(
        name="speech-volume",
        title="Speech: test accuracy by the volume of the test recordings",
        caption="Trained at volume 1. Mean over seeds; the band spans the lowest and the highest seed.",
        x_label="volume of the test recordings",
        y_label="test accuracy",
        x_log=True,
        y_percent=True,
        series=tuple(map(series, groups)),
    )
