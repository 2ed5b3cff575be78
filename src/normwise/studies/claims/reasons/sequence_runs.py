"""Networks for sequences with each norm at the learning rate that suits it, and what is compared of them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from normwise.records import Bilingual, Figure, Run, RunConfig
from normwise.studies.arms import Search, accuracy_at_end
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Rate
from normwise.studies.claims.reasons.steps_ratio import steps_ratio
from normwise.studies.judging.series import curve_series
from normwise.studies.judging.styles import DIVERGED, LABEL, STYLE
from normwise.studies.networks import arm, tuned
from normwise.studies.preset import Network, Preset

_RATES = {"quick": (0.01, 0.03), "full": (0.0005, 0.002, 0.008)}
#: The one rate of the network that is by far the slowest, in quick.
_TEXT_IN_QUICK = (0.03,)
#: Accuracy to reach, by preset: below where the networks end, above what guessing gives.
_TARGETS = {
    "speech_lstm": {"quick": 0.80, "full": 0.80},
    "sentiment_bilstm": {"quick": 0.90, "full": 0.70},
    "text_transformer": {"full": 0.70},
    "row_lstm": {"quick": 0.80, "full": 0.90},
}
#: Features that are not normalised by recording, which takes the volume out.
_LOUD = {"loudness": True}
#: Evaluations of runs whose steps to a target count; a ratio of 1.25 can't be told from ten a run.
_CLOSELY: dict[str, Any] = {"eval_every": 4, "eval_growth": 0.1}
#: Networks that are tested with more padding, too.
PADDED = ("speech_lstm",)
#: Accuracy over that of guessing that a network must have for a comparison to mean anything, in percentage points.
_LEARNT = 15.0
_CLASSES = {"speech": 10, "image": 10, "text": 2}


def config(preset: Preset, network: Network, norm: str, **changes: Any) -> RunConfig:
    """Return a run of a network for sequences, by clipped Adam."""
    fields: dict[str, Any] = {"optimizer": "adam", "clip": 1.0}
    if _is_loud(preset, network):
        fields["data_options"] = _LOUD
    return arm(preset, network, norm, **fields | changes)


def search(preset: Preset, network: Network, norm: str) -> Search:
    """Return the choice of a learning rate, by the accuracy at the end."""
    return tuned(preset, config(preset, network, norm), _rates(preset, network))


def search_soonest(preset: Preset, network: Network, norm: str) -> Search:
    """Return the choice of a learning rate, among the same runs, by the steps to the target of the network."""
    return tuned(preset, config(preset, network, norm), _rates(preset, network), target_of(preset, network))


def at_its_rate(preset: Preset, rate: Rate, network: Network, norm: str, **changes: Any) -> RunConfig:
    """Return a run at the learning rate that ends highest."""
    return replace(_judged(preset, network, norm, **changes), lr=rate(search(preset, network, norm)))


def soonest(preset: Preset, rate: Rate, network: Network, norm: str) -> RunConfig:
    """Return a run at the learning rate that reaches the target of the network soonest."""
    return replace(_judged(preset, network, norm), lr=rate(search_soonest(preset, network, norm)))


def _judged(preset: Preset, network: Network, norm: str, **changes: Any) -> RunConfig:
    """Return a run without its rate, with what is measured in it."""
    # Measured in the same runs, for the claims about padding and about volume.
    padded = ("padded_accuracy",) if norm == "batch" and network.name in PADDED else ()
    gain = ("gain_accuracy",) if norm in ("batch", "none") and _is_loud(preset, network) else ()
    closely = {} if norm == "recurrent_batch" else _CLOSELY
    return config(preset, network, norm, **{"measures": padded + gain, **closely} | changes)


def loud(preset: Preset, rate: Rate, network: Network, norm: str) -> RunConfig:
    """Return a run on speech whose features tell its loudness, tested at other volumes."""
    if _is_loud(preset, network):
        return at_its_rate(preset, rate, network, norm)
    return at_its_rate(preset, rate, network, norm, data_options=_LOUD, measures=("gain_accuracy",))


def accuracy_case(
    network: Network,
    better: RunConfig,
    worse: RunConfig,
    *,
    smallest: float,
    effect: str,
    where: Bilingual | None = None,
) -> CasePlan:
    """Return the comparison of the accuracies at the end, in percentage points."""
    return CasePlan(
        f"{network.name}, accuracy{'' if where is None else f', {where.en}'}",
        _glossed(network, Bilingual("accuracy", "准确率"), where),
        network.family,
        (better, worse),
        value=lambda one, other: 100 * (accuracy_at_end(one) - accuracy_at_end(other)),
        effect=effect,
        unit="percentage points",
        smallest=smallest,
        note=_rates_note,
    )


def steps_case(
    preset: Preset,
    network: Network,
    slower: RunConfig,
    faster: RunConfig,
    *,
    smallest: float,
    where: Bilingual | None = None,
) -> CasePlan:
    """Return the comparison of the steps to the target of the network."""
    return steps_ratio(
        f"{network.name}, steps{'' if where is None else f', {where.en}'}",
        _glossed(network, Bilingual("steps", "步数"), where),
        network.family,
        (slower, faster),
        target=target_of(preset, network),
        smallest=smallest,
    )


def learns(network: Network, without_norm: RunConfig) -> CasePlan:
    """Return the control that the network learns its task without a norm."""
    guessing = 1 / _CLASSES[network.task]
    return CasePlan(
        f"{network.name}, learns",
        Bilingual(f"{network.gloss.en} learns without a norm", f"{network.gloss.zh}不用归一化也能学会"),
        network.family,
        (without_norm,),
        value=lambda run: 100 * (accuracy_at_end(run) - guessing),
        effect="accuracy above that of guessing",
        unit="percentage points",
        smallest=_LEARNT,
    )


def target_of(preset: Preset, network: Network) -> float:
    """Return the accuracy to reach."""
    return _TARGETS[network.name][preset.name]


def budgets_sentence(preset: Preset, networks: Sequence[Network], *, steps_count: bool = False) -> str:
    """Return budgets and rates, and targets and evaluations where steps to a target count, for a protocol."""
    each = "; ".join(
        f"{network.gloss.en} on {network.data}, {network.steps:,} steps of {network.batch_size}, learning rates "
        f"{', '.join(f'{rate:g}' for rate in _rates(preset, network))}"
        f"{f', target {target_of(preset, network):.0%}' if steps_count else ''}"
        for network in networks
    )
    counted = " Evaluated every 4 steps up to step 40, then after a tenth of all steps so far."
    kept = any(_is_loud(preset, network) for network in networks)
    return (
        f"{each}. Adam, gradients clipped to a norm of 1.{counted if steps_count else ''}"
        f"{' The features of speech keep its loudness: one normalisation for all recordings.' if kept else ''}"
    )


def curves(name: str, network: Network, groups: Sequence[tuple[str, Sequence[Run]]]) -> Figure:
    """Return test accuracy on the way, a curve a norm."""
    return Figure(
        name=name,
        title=f"{network.gloss.en}: test accuracy while training",
        caption=f"Mean over seeds; the band spans the lowest and the highest seed. {DIVERGED}",
        x_label="steps",
        y_label="test accuracy",
        y_percent=True,
        series=tuple(
            curve_series(f"{LABEL[norm]}, learning rate {runs[0].config.lr:g}", runs, STYLE[norm])
            for norm, runs in groups
        ),
    )


def _rates(preset: Preset, network: Network) -> tuple[float, ...]:
    if preset.name == "quick" and network.task == "text":
        return _TEXT_IN_QUICK
    return _RATES[preset.name]


def _is_loud(preset: Preset, network: Network) -> bool:
    # In quick all runs on speech are of one kind, which several claims share.
    return preset.name == "quick" and network.task == "speech"


def _glossed(network: Network, measured: Bilingual, where: Bilingual | None) -> Bilingual:
    further = Bilingual("", "") if where is None else Bilingual(f", {where.en}", f"，{where.zh}")
    return Bilingual(
        f"{network.gloss.en} ({measured.en}{further.en})", f"{network.gloss.zh}（{measured.zh}{further.zh}）"
    )


def _rates_note(one: Sequence[Run], other: Sequence[Run]) -> str:
    return "learning rates " + " and ".join(
        f"{runs[0].config.lr:g} {LABEL.get(runs[0].config.norm, runs[0].config.norm)}"
        for runs in (one, other)
    )
