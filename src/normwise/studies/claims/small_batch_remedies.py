"""Remedies for small batches."""

from collections.abc import Sequence
from statistics import mean

from normwise.records import Effect, Figure, Run, RunConfig, Source
from normwise.studies.claim import Claim, Judgement, all_or_some
from normwise.studies.judging.intervals import mean_effect, over_networks
from normwise.studies.judging.run_queries import final_accuracy, gains, select
from normwise.studies.judging.series import spread_series
from normwise.studies.judging.styles import BATCH, DIVERGED, GHOST, GROUP, RENORM, SYNCHRONISED
from normwise.studies.network_run import network_run, tested
from normwise.studies.preset import Network, Preset

#: Samples in one process at once, on which a statistic of BN rests in a dense network.
_SIZES = (2, 4, 8, 16)
_SMALL, _LARGE = 2, 32
#: Networks in which a statistic has as many values as the batch has samples.
_DENSE = ("dense_bn", "ioffe_mlp")
#: Percentage points that batch 2 must cost BN for there to be something to repair, and that a remedy must win back.
_LEAST = 1.0
_RATE = "The learning rate is proportional to the samples of a step and BN's: none was tuned for a remedy."
_REMEDIES = ("renorm", "group", "synchronised", "accumulated")
_LABELS = {
    "renorm": "batch renormalization",
    "group": "GroupNorm",
    "synchronised": "BN synchronised over two processes",
    "accumulated": "ghost batches of 32 samples, or gradients accumulated to 32",
}


class SmallBatchRemedies(Claim):
    """Gain of each remedy over BN at the same number of samples in one process."""

    number = 10
    name = "small_batch_remedies"
    statement = (
        "Renormalization, GroupNorm, synchronisation and accumulation win back what small batches cost BN."
    )
    falsifier = (
        f"At batch {_SMALL} no remedy is better than BN by more than {_LEAST:g} point on any network on which small "
        "batches cost BN anything. Some remedies, or some networks: it depends."
    )
    rule = (
        f"A network has something to repair where BN's test accuracy at batch {_LARGE} less that at batch {_SMALL} has "
        f"an interval above {_LEAST:g} point. There a remedy repairs when the interval of its lead over BN at batch "
        f"{_SMALL}, per seed, lies above {_LEAST:g} point. All remedies on all such networks: supported; none, or no "
        "such network: not supported; else: depends."
    )
    sources = (
        Source(
            "Wu & He 2018, Group Normalization",
            "§4.1, figure 1 and table 2: from batch 32 to 2 BN's error grows by 10 points and more, GroupNorm's stays",
            "https://arxiv.org/abs/1803.08494",
        ),
        Source(
            "Ioffe 2017, Batch Renormalization",
            "§4.2: with statistics of 4 samples, renormalization wins back a part of what BN loses",
            "https://arxiv.org/abs/1702.03275",
        ),
        Source(
            "Hoffer, Hubara & Soudry 2017, Train longer, generalize better",
            "§4: ghost batch normalization",
            "https://arxiv.org/abs/1705.08741",
        ),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        networks = ", ".join(
            f"{network.model} ({network.batch_lr:g} at batch {_LARGE})" for network in _networks(preset)
        )
        size = f"the first {preset.train_samples:,} training samples" if preset.train_samples else "all of it"
        return (
            f"Data: {preset.data}, {size}. Dense networks, in which a statistic has one value a sample, and their "
            f"learning rates: {networks}. Each run sees {preset.samples:,} samples; plain SGD, seeds "
            f"{', '.join(map(str, preset.seeds))}.{tested(preset)}",
            f"{_RATE} {DIVERGED}",
            "One process holds 2, 4, 8 or 16 samples at once. BN, renormalization and GroupNorm make a step of them. "
            "Synchronised over two processes, a step has twice as many samples, and so have the statistics; it is run "
            "in one process, which is the same to rounding, as a test with two real ones shows. Accumulated, a step "
            f"has {_LARGE} samples, each part of them normalised by its own statistics, and the running statistics "
            "move once, by all: that is ghost batch normalization in such parts, which is what is run, and the same to "
            "rounding, as a test shows.",
            "Renormalization is plain BN for the first eighth of a run's steps; its limits grow to r = 3 and d = 5 at "
            "the half. The paper has 5,000, 40,000 and 25,000 steps, more than these runs have.",
        )

    def runs(self, preset: Preset) -> tuple[RunConfig, ...]:
        return tuple(
            network_run(
                preset,
                network,
                norm,
                seed,
                steps=preset.samples // samples,
                batch_size=samples,
                lr=network.batch_lr * samples / _LARGE,
                eval_every=preset.samples // samples,
                measures=("recomputed_accuracy",),
                train_samples=preset.train_samples,
            )
            for network in _networks(preset)
            for norm, samples in _arms(preset)
            for seed in preset.seeds
        )

    def judge(self, preset: Preset, runs: Sequence[Run]) -> Judgement:
        effects: list[Effect] = []
        shown: list[bool] = []
        parts: list[str] = []
        leads: list[list[float]] = []
        for network in _networks(preset):
            own = select(runs, model=network.model)
            plain = _runs_of("batch", _SMALL, own, preset)
            cost = mean_effect(
                f"{network.model}: what batch {_SMALL} costs BN",
                "percentage points",
                gains(_runs_of("batch", _LARGE, own, preset), plain, final_accuracy),
            )
            effects.append(cost)
            found = []
            for remedy in _REMEDIES:
                lead = gains(_runs_of(remedy, _SMALL, own, preset), plain, final_accuracy)
                effect = mean_effect(
                    f"{network.model}: lead of {_LABELS[remedy]} over BN at batch {_SMALL}",
                    "percentage points",
                    lead,
                )
                effects.append(effect)
                leads.append(lead)
                found.append(f"{_LABELS[remedy]} {effect.estimate:+.1f}")
                if cost.low > _LEAST:
                    shown.append(effect.low > _LEAST)
            parts.append(f"on {network.model}, where it costs {cost.estimate:.1f} points, {', '.join(found)}")
        sentence = (
            f"At batch {_SMALL}, in points against BN: {'; '.join(parts)}. Repaired, by the rule, in {sum(shown)} of "
            f"{len(shown)} cases."
        )
        overall = mean_effect(
            f"all networks and remedies: lead over BN at batch {_SMALL}",
            "percentage points",
            over_networks(mean, leads),
        )
        figures = tuple(_figure(network.model, runs, preset) for network in _networks(preset))
        verdict = all_or_some(shown) if shown else "not supported"
        return Judgement(verdict, sentence, (overall, *effects), figures)


def _sizes(kind: str) -> tuple[int, ...]:
    """Return the samples in one process at once at which there are runs."""
    return (*_SIZES, _LARGE) if kind == "batch" else _SIZES


def _networks(preset: Preset) -> list[Network]:
    return [network for network in preset.networks if network.model in _DENSE]


def _arms(preset: Preset) -> list[tuple[str, int]]:
    """Return norms and samples of a step; those of the synchronised arm are BN's."""
    batch = [("batch", size) for size in (*_SIZES, _LARGE)]
    others = [_arm(remedy, size, preset) for remedy in _REMEDIES for size in _SIZES]
    return list(dict.fromkeys([*batch, *others]))


def _arm(kind: str, size: int, preset: Preset) -> tuple[str, int]:
    """Return the norm and the samples of a step with so many samples in one process at once."""
    if kind == "synchronised":
        return "batch", 2 * size
    if kind == "accumulated":
        return f"ghost:{size}", _LARGE
    if kind == "renorm":
        return f"renorm:{preset.samples // size}", size
    return kind, size


def _runs_of(kind: str, size: int, runs: Sequence[Run], preset: Preset) -> list[Run]:
    norm, samples = _arm(kind, size, preset)
    return select(runs, norm=norm, batch_size=samples)


def _figure(model: str, runs: Sequence[Run], preset: Preset) -> Figure:
    own = select(runs, model=model)
    styles = {
        "batch": BATCH,
        "renorm": RENORM,
        "group": GROUP,
        "synchronised": SYNCHRONISED,
        "accumulated": GHOST,
    }
    return Figure(
        name=f"remedies-{model}",
        title=f"{model}: test accuracy after the same number of samples, by values per statistic",
        caption="Mean over seeds; the band spans the lowest and the highest seed. GroupNorm stands at the samples of a "
        f"step, on which its statistics don't rest. {_RATE} {DIVERGED}",
        x_label="values per statistic",
        y_label="test accuracy",
        y_percent=True,
        # Names, not numbers: each size gets its own tick, at equal distances.
        series=tuple(
            spread_series(
                _LABELS.get(kind, "BN"),
                tuple(str(2 * size if kind == "synchronised" else size) for size in _sizes(kind)),
                [_runs_of(kind, size, own, preset) for size in _sizes(kind)],
                final_accuracy,
                style,
            )
            for kind, style in styles.items()
        ),
    )
