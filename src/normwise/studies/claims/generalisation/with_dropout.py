"""Networks with dropout, trained until they know their few samples by heart, wrong labels and all."""

from dataclasses import replace
from typing import Any

from normwise.records import Bilingual, RunConfig
from normwise.studies.arms import Search
from normwise.studies.claim import Rate
from normwise.studies.networks import arm, tuned
from normwise.studies.preset import Network, Preset

#: Training images.
SAMPLES = 200
RATES = (0.1, 0.3)
NETWORK = Network(
    "dense_2x64",
    Bilingual("2 dense layers", "2 层全连接"),
    "dense",
    "plain_mlp",
    500,
    lr=0.1,
    batch_size=32,
    options={"depth": 2, "width": 64, "init": "he"},
)


def steps(preset: Preset) -> int:
    """Return the steps of a run."""
    return preset.pick(quick=NETWORK.steps, full=6 * NETWORK.steps)


def training_sentence(preset: Preset, tried: str) -> str:
    """Return the learning rates and the steps, as a sentence of a protocol."""
    rates = " and ".join(map(str, RATES))
    return f"Learning rates {rates} are tried {tried}; {steps(preset):,} steps in batches of 32."


def with_dropout(
    preset: Preset,
    norm: str,
    dropout: float,
    rate: Rate,
    *,
    data: str,
    place: str = "each",
    **changes: Any,
) -> RunConfig:
    """Return a run with dropout of a probability at a place, at the learning rate that was chosen for it."""
    config = _config(preset, norm, dropout, data)
    chosen = rate(search(preset, norm, dropout, data=data))
    return replace(config, lr=chosen, options={**config.options, "dropout_place": place}, **changes)


def search(preset: Preset, norm: str, dropout: float, *, data: str) -> Search:
    """Return the choice of the learning rate, with dropout behind each layer."""
    return tuned(preset, _config(preset, norm, dropout, data), RATES)


def _config(preset: Preset, norm: str, dropout: float, data: str) -> RunConfig:
    return arm(
        preset,
        NETWORK,
        norm,
        data=data,
        steps=steps(preset),
        options={"dropout": dropout},
        train_samples=SAMPLES,
        draw_samples=True,
    )
