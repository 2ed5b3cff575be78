"""Bessel's correction of running variances, which torch applies and Keras does not."""

from collections.abc import Mapping

from normwise.errors import ArgumentError
from normwise.porting.evaluation.call_record import ModelRecord
from normwise.porting.pairs import Pair


def check_counts(values_per_channel: int | Mapping[str, int] | None, batch_size: int | None) -> None:
    """Raise ArgumentError unless at most one of the two is given, and is a valid number."""
    if values_per_channel is not None and batch_size is not None:
        raise ArgumentError("values_per_channel= and batch_size= say the same; leave one out")
    for name, value, least in (("values_per_channel", values_per_channel, 2), ("batch_size", batch_size, 1)):
        for number in value.values() if isinstance(value, Mapping) else [value]:
            if number is not None and (type(number) is not int or number < least):
                raise ArgumentError(f"{name}= must be a whole number of values, got {number!r}")


def bessel_factors(
    pairs: list[Pair],
    record: ModelRecord,
    *,
    from_torch: bool,
    values_per_channel: int | Mapping[str, int] | None,
    batch_size: int | None,
) -> tuple[list[float], list[str]]:
    """Return the factor for the variance of each pair, 1 for other layers, and sentences for the report.

    Args:
        pairs: Pairs of source and target layers.
        record: Evaluation in which inputs have as many positions as in training.
        from_torch: Whether the source is the torch model.
        values_per_channel, batch_size: Arguments of :func:`normwise.port`.

    Raises:
        ArgumentError: a path is not a BN layer, or the example does not reach it.
    """
    norms = [pair for pair in pairs if pair.kind == "batch_norm"]
    if isinstance(values_per_channel, Mapping):
        known = {pair.source.path for pair in norms}
        if unknown := [path for path in values_per_channel if path not in known]:
            raise ArgumentError(
                f"values_per_channel= names {', '.join(map(repr, unknown))}; the source's layers of batch "
                f"normalization are {', '.join(sorted(known))}"
            )
    factors, left = [], []
    for pair in pairs:
        keras_layer = pair.target if from_torch else pair.source
        if pair.kind != "batch_norm" or keras_layer.unbiased:
            factors.append(1.0)
            continue
        count = _values(pair, record, from_torch, values_per_channel, batch_size)
        if count is None:
            left.append(pair.source.path or "the model")
            factors.append(1.0)
        else:
            factors.append((count - 1) / count if from_torch else count / (count - 1))
    if not left:
        return factors, []
    if from_torch:
        said = "as it is, with Bessel's correction where torch has trained it; Keras's training makes none"
    else:
        said = "as it is, without Bessel's correction where Keras has trained it; torch's training makes it"
    return factors, [
        f"the variance of {', '.join(left)} is left {said}. values_per_channel= or batch_size= converts it"
    ]


def _values(
    pair: Pair,
    record: ModelRecord,
    from_torch: bool,
    values_per_channel: int | Mapping[str, int] | None,
    batch_size: int | None,
) -> int | None:
    if isinstance(values_per_channel, Mapping):
        return values_per_channel.get(pair.source.path)
    if batch_size is None:
        return values_per_channel
    in_source = record.calls.get(id(pair.source))
    call = record.calls.get(id(pair.target)) if in_source is None else in_source
    if call is None:
        raise ArgumentError(
            f"the example does not reach {pair.source.path!r}, so that batch_size= does not tell how many values a "
            "channel has; pass values_per_channel="
        )
    samples, channels = call.input.shape[0], call.input.shape[-1]
    count = batch_size * (call.input.size // (samples * channels))
    if count < 2:
        raise ArgumentError(
            f"{pair.source.path!r} has {count} value per channel with batch_size={batch_size}, of which no variance "
            "can be corrected"
        )
    return count
