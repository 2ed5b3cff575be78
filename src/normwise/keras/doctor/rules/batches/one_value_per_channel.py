"""BN501: a batch that gives a layer one value per channel."""

from collections.abc import Iterable, Sequence

from normwise.keras.doctor.facts.data.smallest_batch import values_of_smallest_batch
from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.rule import Rule, found_in, measured
from normwise.keras.doctor.wording import layer_code
from normwise.records import Severity, Symptom


class OneValuePerChannel(Rule):
    """A batch that gives a layer one value per channel."""

    code = "BN501"
    name = "one-value-per-channel"
    severity = "error"
    needs = ("data",)
    finds = (
        "A BN layer that gets one value per channel in training from a batch of these data, as after Dense layers "
        "from one sample. Keras raises no error: the layer returns β, and its moving variance falls towards 0. It is "
        "an error if the data are known to be training data."
    )
    safety = "manual"

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers that get one value per channel from the smallest batch."""
        for path, found in values_of_smallest_batch(facts).items():
            if found.values > 1:
                continue
            yield found_in(
                facts,
                path,
                measured("values per channel", found.values),
                measured("samples in the batch", found.samples),
                measured("samples in the usual batch", facts.batches.usual_size),
                detail=found.place,
                badness=1 / max(found.usual, 1),
            )

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return "info" for data that only evaluation is known to read."""
        return "error" if facts.data_are_for_training else "info"

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say which batch it is."""
        layers = f"{len(symptoms)} BN layers" if len(symptoms) > 1 else "A BN layer"
        verb = "get" if len(symptoms) > 1 else "gets"
        return (
            f"{layers} {verb} one value per channel from {symptoms[0].detail}, which has no variance: in training "
            "the output is β whatever the input is, and the moving variance falls towards 0."
        )

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Drop the last batch, or replace the norm."""
        if symptoms[0].evidence[1].value < facts.batches.usual_size:
            return "data = data.batch(batch_size, drop_remainder=True)  # or drop_last=True, or another batch size"
        return (
            "# batches of at least two samples; or a norm that needs no batch, in place of "
            f"{layer_code(symptoms[0].path)}:\nkeras.layers.LayerNormalization()"
        )
