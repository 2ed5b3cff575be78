"""Safe fixes that several rules share, applied to a copy of the model."""

from collections.abc import Iterator

from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.errors import NormwiseError
from normwise.statistics import Data, batches_of, calibrate
from normwise.surgery.core.decision import LeftError


def calibrate_copy(facts: Facts, model: nn.Module) -> str:
    """Replace the running statistics of a copy by exact ones of the data, and say so.

    Raises:
        LeftError: that can't be done.
    """
    try:
        record = calibrate(model, data_to_read_again(facts))
    except NormwiseError as error:
        raise LeftError(str(error)) from error
    replaced = sum(layer.calibrated for layer in record.layers)
    return f"statistics of {replaced} of {len(record.layers)} layers replaced by exact ones"


def data_to_read_again(facts: Facts) -> Data:
    """Return the user's data, or the batches that were read where they can be read once only."""
    if facts.data is None:
        raise LeftError("that needs data")
    batches = batches_of(facts.data)
    return [batch.given for batch in facts.batches.batches] if isinstance(batches, Iterator) else facts.data
