"""BN fits recurrent networks badly, and LayerNorm is preferred."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from normwise.records import Effect, Figure, Run, RunConfig, Source
from normwise.studies.claim import Claim, Judgement, all_or_some
from normwise.studies.judging.intervals import mean_effect, over_networks
from normwise.studies.judging.run_queries import final_accuracy, gains, select
from normwise.studies.judging.series import curve_series
from normwise.studies.judging.styles import DIVERGED, LABEL, STYLE
from normwise.studies.network_run import sequence_budget, sequence_run
from normwise.studies.preset import Preset

_NORMS = ("batch", "none", "layer", "recurrent_batch")


class RecurrentNets(Claim):
    """BN between recurrent layers, beside none, LayerNorm in its place, and BN within the recurrence."""

    number = 7
    name = "recurrent_nets"
    statement = "BN fits recurrent networks badly; LayerNorm is preferred."
    falsifier = (
        "BN between the recurrent layers, with padding left out, ends no lower than LayerNorm in its place: every "
        "network. Some networks: it depends."
    )
    rule = (
        "LayerNorm's lead is its test accuracy at the end of the budget less that of BN between the layers, per seed, "
        "in percentage points. A network shows the claim when the interval of the lead lies above 0. All networks: "
        "supported; none: not supported; else: depends. No norm, and BN within the recurrence, are shown beside them."
    )
    sources = (
        Source(
            "Laurent, Pereyra, Brakel, Zhang & Bengio 2015, Batch Normalized Recurrent Neural Networks",
            "§3.3 and §5: BN of what goes into a layer, over batch and time, trains faster and generalises no better",
            "https://arxiv.org/abs/1510.01378",
        ),
        Source(
            "Cooijmans, Ballas, Laurent, Gülçehre & Courville 2016, Recurrent Batch Normalization",
            "§3 and §5: BN within the recurrence, with statistics for each time step",
            "https://arxiv.org/abs/1603.09025",
        ),
        Source(
            "Ba, Kiros & Hinton 2016, Layer Normalization",
            "§1 and §3.1: recurrent networks as what BN does not fit",
            "https://arxiv.org/abs/1607.06450",
        ),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            f"Recurrent networks: {sequence_budget(preset.sequences, preset.seeds)}",
            "BN and LayerNorm stand behind each recurrent layer; BN has one mean and variance a channel, over the real "
            "positions of all sequences of the batch. BN within the recurrence has statistics for each step, and γ "
            "begins at 0.1. The learning rate is the same for all norms, and was tuned for none.",
        )

    def runs(self, preset: Preset) -> tuple[RunConfig, ...]:
        # What padding does is measured in the same runs, for the claim about it.
        return tuple(
            sequence_run(network, norm, seed, measures=("padded_accuracy",) if norm == "batch" else ())
            for network in preset.sequences
            for norm in _NORMS
            for seed in preset.seeds
        )

    def judge(self, preset: Preset, runs: Sequence[Run]) -> Judgement:
        networks = [
            _Network(network.model, {norm: select(runs, model=network.model, norm=norm) for norm in _NORMS})
            for network in preset.sequences
        ]
        shown = [network.lead.low > 0 for network in networks]
        sentence = (
            "; ".join(network.sentence for network in networks)
            + f"; by the rule LayerNorm is ahead on {sum(shown)} of {len(shown)} networks."
        )
        overall = _effect(
            "all networks: lead of LayerNorm over BN between recurrent layers",
            over_networks(mean, [network.leads for network in networks]),
        )
        effects = [effect for network in networks for effect in (network.lead, *network.others)]
        figures = tuple(_figure(network.model, network.runs) for network in networks)
        return Judgement(all_or_some(shown), sentence, (overall, *effects), figures)


@dataclass(frozen=True)
class _Network:
    """One network, and its runs by norm."""

    model: str
    runs: dict[str, list[Run]]

    @property
    def leads(self) -> list[float]:
        """LayerNorm's lead over BN between the layers, per seed."""
        return gains(self.runs["layer"], self.runs["batch"], final_accuracy)

    @property
    def lead(self) -> Effect:
        """The effect that the rule judges."""
        return _effect(f"{self.model}: lead of LayerNorm over BN between the layers", self.leads)

    @property
    def others(self) -> list[Effect]:
        """The lead of BN over the norms that are shown beside it."""
        return [
            _effect(
                f"{self.model}: lead of BN between the layers over {LABEL[norm]}",
                gains(self.runs["batch"], self.runs[norm], final_accuracy),
            )
            for norm in ("none", "recurrent_batch")
        ]

    @property
    def sentence(self) -> str:
        """The lead, and where each norm ended."""
        ends = ", ".join(
            f"{mean(map(final_accuracy, of_norm)):.1%} {LABEL[norm]}" for norm, of_norm in self.runs.items()
        )
        return f"LayerNorm ended {self.lead.estimate:+.1f} points from BN on {self.model} ({ends})"


def _effect(name: str, values: Sequence[float]) -> Effect:
    return mean_effect(name, "percentage points", values)


def _figure(model: str, runs: dict[str, list[Run]]) -> Figure:
    return Figure(
        name=f"recurrent-{model}",
        title=f"{model}: test accuracy on the way",
        caption=f"Mean over seeds; the band spans the lowest and the highest seed. {DIVERGED}",
        x_label="step",
        y_label="test accuracy",
        y_percent=True,
        series=tuple(curve_series(LABEL[norm], of_norm, STYLE[norm]) for norm, of_norm in runs.items()),
    )
