"""Replacement of statistics by exact ones, as a fix."""

from collections.abc import Iterable

from normwise.errors import ModelError, NormwiseError
from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.surgery import calibrate
from normwise.records import Symptom


def calibrate_model(facts: Facts, symptoms: Iterable[Symptom]) -> str:
    """Replace the moving statistics by exact ones of the batches, also in frozen layers if a symptom names one.

    Raises:
        ModelError: the statistics can't be replaced; the error says why.
    """
    if "data" not in facts.has:
        raise ModelError("that needs data")
    frozen = any(not facts.norms[symptom.path].trainable for symptom in symptoms)
    batches = [(batch.inputs,) for batch in facts.batches.batches]
    try:
        record = calibrate(facts.model, batches, include_frozen=frozen)
    except NormwiseError as error:
        raise ModelError(str(error)) from error
    replaced = sum(layer.calibrated for layer in record.layers)
    return f"statistics of {replaced} of {len(record.layers)} layers replaced by exact ones"
