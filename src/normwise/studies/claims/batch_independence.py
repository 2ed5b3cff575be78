"""At inference, running statistics make a sample's output independent of its batch."""

import sys
from collections.abc import Sequence
from statistics import geometric_mean

from normwise.records import Figure, Run, RunConfig, Series
from normwise.studies.claim import Claim, Judgement, ioffe_szegedy
from normwise.studies.judging.intervals import geometric_effect, over_networks
from normwise.studies.judging.run_queries import result, select
from normwise.studies.judging.styles import BATCH, RECOMPUTED
from normwise.studies.network_run import budget, network_run
from normwise.studies.preset import Preset

#: Of the deviation of all outputs: what float32 may round to, and what counts as a real dependence.
_ROUNDING, _DEPENDENCE = 1e-4, 1e-2
_EFFECT = "change with batch statistics over change with running ones"


class BatchIndependence(Claim):
    """How far an output moves when only the samples beside it are exchanged."""

    number = 5
    name = "batch_independence"
    statement = (
        "At inference, running statistics make an output independent of its batch; batch statistics do not."
    )
    falsifier = (
        "With running statistics an output changes by more than rounding when other samples are put beside it, "
        "which refutes the claim; or with batch statistics it does not change, which leaves half of it: it depends."
    )
    rule = (
        "The change is the largest difference of any output between batches that have only that one sample in "
        f"common, in standard deviations of all outputs. Supported: in every run at most {_ROUNDING:g} with running "
        f"statistics and at least {_DEPENDENCE:g} with batch statistics. Not supported: some run changes by more than "
        f"{_ROUNDING:g} with running statistics. Else: depends."
    )
    sources = (ioffe_szegedy("§3.1 and algorithm 2: inference depends deterministically on the input"),)

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        rates = ", ".join(f"{network.lr:g} ({network.model})" for network in preset.networks)
        return (
            f"{budget(preset)} Here only the runs with BN, at learning rate {rates}.",
            "After training, 64 test samples are each put into two batches of 32 with different companions, and, "
            "for running statistics, into a batch of their own.",
        )

    def runs(self, preset: Preset) -> tuple[RunConfig, ...]:
        return tuple(
            network_run(preset, network, "batch", seed, measures=("batch_dependence",))
            for network in preset.networks
            for seed in preset.seeds
        )

    def judge(self, preset: Preset, runs: Sequence[Run]) -> Judgement:
        running, batch = ([_change(run, kind) for run in runs] for kind in ("running", "batch"))
        flipped = [result(run).measured["batch_dependence"]["batch"]["flipped"] for run in runs]
        # Of a network that diverged a change is no number, and so neither small nor large.
        independent = all(change <= _ROUNDING for change in running)
        if any(change > _ROUNDING for change in running):
            verdict = "not supported"
        elif independent and all(change >= _DEPENDENCE for change in batch):
            verdict = "supported"
        else:
            verdict = "depends"
        sentence = (
            f"Exchanging a sample's companions moved its outputs by at most {max(running):.1e} standard deviations "
            f"with running statistics, and by {min(batch):.2g} to {max(batch):.2g} with batch statistics, which "
            f"changed the predicted class of up to {max(flipped):.0%} of the samples."
        )
        ratios = [
            [
                _change(run, "batch") / max(_change(run, "running"), sys.float_info.epsilon)
                for run in select(runs, model=network.model)
            ]
            for network in preset.networks
        ]
        overall = geometric_effect(f"all networks: {_EFFECT}", "times", over_networks(geometric_mean, ratios))
        effects = [
            geometric_effect(f"{network.model}: {_EFFECT}", "times", own)
            for network, own in zip(preset.networks, ratios, strict=True)
        ]
        return Judgement(verdict, sentence, (overall, *effects), (_figure(preset, runs),))


def _change(run: Run, kind: str) -> float:
    return result(run).measured["batch_dependence"][kind]["change"]


def _figure(preset: Preset, runs: Sequence[Run]) -> Figure:
    names = [network.model for network in preset.networks]

    def series(kind: str, style: int) -> Series:
        changes = [[_change(run, kind) for run in select(runs, model=name)] for name in names]
        # Nothing at all has no place on a logarithmic axis: it is drawn where float64 would round.
        floor = sys.float_info.epsilon
        return Series(
            label=f"{kind} statistics",
            x=tuple(names),
            y=tuple(max(sum(group) / len(group), floor) for group in changes),
            low=tuple(max(min(group), floor) for group in changes),
            high=tuple(max(*group, floor) for group in changes),
            style=style,
        )

    return Figure(
        name="batch-dependence",
        title="How far a sample's output moves when its companions are exchanged",
        caption="In standard deviations of all outputs; mean over seeds, with the lowest and the highest.",
        x_label="network",
        y_label="largest change of an output",
        y_log=True,
        lines=False,
        series=(series("running", BATCH), series("batch", RECOMPUTED)),
    )
