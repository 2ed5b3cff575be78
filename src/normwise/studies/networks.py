"""The configurations that claims vary: a preset's network, trained as the preset says."""

from collections.abc import Sequence
from typing import Any

from normwise.records import RunConfig
from normwise.studies.arms import Search
from normwise.studies.preset import Network, Preset

#: Learning rates of plain SGD to choose from, and of Adam.
SGD_RATES, ADAM_RATES = (0.03, 0.1, 0.3, 1.0, 3.0), (0.0003, 0.001, 0.003, 0.01)
#: Evaluations are two steps apart at the beginning, and a twentieth of all steps so far later on.
CLOSELY = {"eval_every": 2, "eval_growth": 0.05}

#: What is measured at the end of a run for claims about what holds exactly.
_EXACT = ("batch_dependence", "moments", "statistics_recurrence", "epsilon_sign")


def arm(preset: Preset, network: Network, norm: str, **changes: Any) -> RunConfig:
    """Return a run of the network's own budget, evaluated ten times; images by plain SGD, sequences by clipped Adam.

    ``changes`` are fields of the configuration that a claim wants otherwise, and ``options`` of the network, which are
    added to its own.
    """
    sequences = network.family == "recurrent"
    images = network.task == "image"
    steps = changes.get("steps", network.steps)
    fields: dict[str, Any] = {
        "model": network.model,
        "task": network.task,
        "data": network.data or preset.data,
        "norm": norm,
        "steps": steps,
        "batch_size": network.batch_size,
        "lr": network.lr,
        "seed": 0,
        "eval_every": max(1, steps // 10),
        "optimizer": "adam" if sequences else "sgd",
        "clip": 1.0 if sequences else None,
        "train_samples": preset.train_samples if images else None,
        "test_samples": network.test_samples or (preset.test_samples if images else None),
    }
    options = {**network.options, **changes.pop("options", {})}
    return RunConfig(**(fields | changes), options=options)


def trained_with_bn(preset: Preset, network: Network) -> RunConfig:
    """Return the run with BN on which claims about what holds exactly measure, all on the same one."""
    steps = preset.pick(quick=100, full=network.steps)
    return arm(preset, network, "batch", steps=steps, eval_every=steps, measures=_EXACT)


def timed(preset: Preset, network: Network) -> RunConfig:
    """Return the run that measures what a training step costs with BN and without, by turns; one step is enough."""
    return arm(preset, network, "batch", steps=1, measures=("cost",))


def tuned(preset: Preset, config: RunConfig, rates: tuple[float, ...], target: float | None = None) -> Search:
    """Return the choice of a learning rate for a configuration: by accuracy, or by steps to the target if given."""
    if target is None:
        return Search(config, rates)
    return Search(config, rates, "steps", target)


def bn_sentences(preset: Preset, names: Sequence[str]) -> tuple[str, ...]:
    """Return how networks are trained with BN for claims about what holds exactly, as sentences of a protocol."""
    configs = (
        (preset.networks[name].gloss, trained_with_bn(preset, preset.networks[name])) for name in names
    )
    return tuple(
        f"{gloss.en}: {config.steps} steps of plain SGD, batch {config.batch_size}, rate {config.lr:g}."
        for gloss, config in configs
    )


def seeds_sentence(preset: Preset, judged_on: Sequence[int] = (), *, searched: bool = True) -> str:
    """Return how seeds, the preset's or others, and learning rates are used, as a sentence of a protocol."""
    tuning, judged = (
        ", ".join(map(str, seeds)) for seeds in (preset.tuning_seeds, judged_on or preset.seeds)
    )
    if not searched:
        return f"Judged are seeds {judged} on the test set; the learning rates are fixed."
    return (
        f"Learning rates are chosen on seeds {tuning} and a fifth of the training set that is not trained on; judged "
        f"are seeds {judged} on the test set. With and without BN the weights start from the same values and see "
        "the same batches."
    )
