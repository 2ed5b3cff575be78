"""Runs by the size of the batch, which claims about small and large batches share."""

from dataclasses import replace

from normwise.records import Bilingual, Run, RunConfig
from normwise.studies.arms import Search
from normwise.studies.claim import Rate
from normwise.studies.judging.run_queries import final_accuracy
from normwise.studies.networks import arm, tuned
from normwise.studies.preset import Network, Preset

#: Samples of a step: those that are small, and what they are compared with.
SIZES, LARGE = (2, 4, 8, 16), 32
#: The size at which a learning rate is chosen, for it lies in the middle; at others it is in proportion.
TUNED = 8
_RATES = (0.01, 0.03, 0.1, 0.3)
#: Percentage points.
SMALLEST = 1.0
#: Positions of an image that a statistic covers, beside the samples of a batch, where they are the fewest.
_POSITIONS = {
    "mnist_cnn": {"digits": 36, "mnist": 676},
    "resnet": {"digits": 4, "fashion-mnist": 49},
}


def networks(preset: Preset) -> list[Network]:
    """Return the networks that are trained with batches of several sizes."""
    names = preset.pick(
        quick=("dense_bn", "mnist_cnn"),
        full=("dense_bn", "ioffe_mlp", "mnist_cnn"),
        gpu=("mlp_40", "resnet_20"),
    )
    return [preset.networks[name] for name in names]


def sizes(preset: Preset, network: Network) -> tuple[int, ...]:
    """Return the small batches that a network is trained with: where the smallest does no harm, larger ones don't."""
    return preset.pick(quick=SIZES[:1] if network.family == "convolution" else SIZES, full=SIZES)


def samples(preset: Preset) -> int:
    """Return how many samples a run sees, whatever its batches."""
    return preset.pick(quick=2560, full=20480, gpu=10240)


def config(preset: Preset, network: Network, norm: str, size: int) -> RunConfig:
    """Return the run with batches of a size, without its learning rate."""
    steps = samples(preset) // size
    return arm(preset, network, norm, steps=steps, eval_every=steps, batch_size=size)


def search(preset: Preset, network: Network, norm: str, tuned_at: int = TUNED) -> Search:
    """Return the choice of a norm's learning rate."""
    return tuned(preset, config(preset, network, norm, tuned_at), rates(preset, tuned_at))


def rates(preset: Preset, size: int) -> tuple[float, ...]:
    """Return the learning rates to choose from, in proportion to the size."""
    of_tuned = preset.pick(quick=_RATES[1:], full=_RATES, gpu=_RATES[1:])
    return tuple(rate * size / TUNED for rate in of_tuned)


def at_rate(
    preset: Preset,
    network: Network,
    norm: str,
    size: int,
    rate: Rate,
    *,
    tuned_as: str = "",
    tuned_at: int = TUNED,
) -> RunConfig:
    """Return the run with batches of a size, at the rate chosen for its norm or another, in proportion to the size."""
    chosen = rate(search(preset, network, tuned_as or norm, tuned_at))
    return replace(config(preset, network, norm, size), lr=chosen * size / tuned_at)


def values_per_statistic(preset: Preset, network: Network, size: int) -> int:
    """Return how many values a mean and a variance of BN are computed from."""
    of_model = _POSITIONS.get(network.model)
    return size * (1 if of_model is None else of_model[preset.data])


def gloss(preset: Preset, network: Network, size: int) -> Bilingual:
    """Return the network and the batch, as a reader may know them."""
    values = values_per_statistic(preset, network, size)
    return Bilingual(
        f"{network.gloss.en}, batch {size} ({values:,} values per statistic)",
        f"{network.gloss.zh}，批量 {size}（每个统计量 {values:,} 个值）",
    )


def norms(network: Network) -> tuple[str, ...]:
    """Return the norms that are trained: in many or dense layers GroupNorm, to tell BN's loss from a small batch's."""
    return ("batch",) if network.family == "convolution" else ("batch", "group")


def own_difference(bn: Run, other_bn: Run, group: Run | None = None, other_group: Run | None = None) -> float:
    """Return by how many points BN with one batch is above BN with another, less the same of GroupNorm if it is so."""
    difference = _points(bn, other_bn)
    if group is None or other_group is None:
        return difference
    return difference - max(0.0, _points(group, other_group))


def _points(one: Run, other: Run) -> float:
    return 100 * (final_accuracy(one) - final_accuracy(other))


def rate_sentence(preset: Preset, tuned_at: int = TUNED) -> str:
    """Return how learning rates are chosen, as a sentence of a protocol."""
    choice = ", ".join(f"{rate:g}" for rate in rates(preset, tuned_at))
    return (
        f"For BN and for GroupNorm the learning rate is the best of {choice} at batch {tuned_at}, and in proportion to "
        "the batch at others."
    )
