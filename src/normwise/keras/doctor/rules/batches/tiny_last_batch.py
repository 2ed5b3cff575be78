"""BN502: a last batch that is far smaller than the others."""

from collections.abc import Iterable, Sequence

from normwise.keras.doctor.facts.data.smallest_batch import values_of_smallest_batch
from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.rule import Rule, measured
from normwise.records import Severity, Symptom

#: Share of the usual batch below which a last batch is tiny.
_TINY = 0.25


class TinyLastBatch(Rule):
    """A last batch that is far smaller than the others."""

    code = "BN502"
    name = "tiny-last-batch"
    severity = "warning"
    needs = ("data",)
    finds = "A last batch that has less than a quarter of the usual number of samples, where all batches were read."
    safety = "manual"

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the model where the last batch is tiny, and no layer gets one value per channel from it."""
        last, usual = facts.batches.last_size, facts.batches.usual_size
        if not last or last >= _TINY * usual:
            return
        layers = values_of_smallest_batch(facts)
        if not layers or any(found.values <= 1 for found in layers.values()):
            return
        fewest = min(layers, key=lambda path: layers[path].values)
        evidence = (
            measured("samples in the last batch", last),
            measured("in the usual batch", usual),
            measured(f"values per channel in {fewest}", layers[fewest].values),
            measured("its weight in the moving statistics", 100 * facts.norms[fewest].new_share, "%"),
        )
        yield Symptom("", "", evidence, badness=usual / last)

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return "info" for data that only evaluation is known to read."""
        return "warning" if facts.batches.shuffles else "info"

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare the sizes."""
        last, usual = (int(number.value) for number in symptoms[0].evidence[:2])
        return (
            f"The last batch has {last} of usually {usual} samples, and counts as much as any other in the moving "
            "statistics."
        )

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Drop it."""
        return (
            "data = data.batch(batch_size, drop_remainder=True)  # or drop_last=True, or another batch size"
        )
