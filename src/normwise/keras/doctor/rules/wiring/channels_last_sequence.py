"""BN107: a BN layer over another axis than that of the features."""

from collections.abc import Iterable, Sequence

from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.facts.model.neighbours import feature_axis, keeps_axes
from normwise.keras.doctor.facts.model.wiring import Op
from normwise.keras.doctor.rule import Rule, found_in, measured
from normwise.keras.doctor.wording import layer_code
from normwise.records import Symptom


class ChannelsLastSequence(Rule):
    """A BN layer over another axis than that of the features."""

    code = "BN107"
    name = "channels-last-sequence"
    severity = "warning"
    needs = ("model",)
    finds = (
        "A BN layer over another axis than that on which the layer before it has its features: axis=1 after Dense, "
        "LSTM or a channels_last convolution, and the default axis=-1 after a channels_first convolution."
    )
    safety = "unsafe"

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers that normalise another axis than that of the features."""
        found = set()
        for op in facts.wiring.norms():
            rank = len(op.shape)
            before = _maker(op)
            axis = None if before is None else feature_axis(before.layer, rank)
            normalised = op.layer.axis % rank
            if before is None or axis is None or rank < 3 or axis == normalised or op.path in found:
                continue
            found.add(op.path)
            sizes = [
                measured(f"axis {number}, {what}, of length", op.shape[number] or 0)
                for number, what in ((normalised, "which it normalises"), (axis, "with the features"))
                if op.shape[number]
            ]
            detail = f"after the {type(before.layer).__name__} {before.path!r}, features on axis {axis}"
            yield found_in(facts, op.path, *sizes, detail=detail, badness=op.shape[axis] or 0)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say which axis is normalised."""
        path = symptoms[0].path
        axis = symptoms[0].detail.rsplit(" ", 1)[-1]
        return (
            f"A BN layer takes axis {facts.norms[path].axis} of its input as channels, but the features are on axis "
            f"{axis}."
        )

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Build the layer with the right axis."""
        return "\n".join(
            f"# build {layer_code(each.path)} with axis={each.detail.rsplit(' ', 1)[-1]}, and train again"
            for each in symptoms
        )


def _maker(norm: Op) -> Op | None:
    """Return the layer that made what is normalised, past those that work on single values; None for none."""
    op = norm
    while len(op.inputs) == 1:
        (op,) = op.inputs
        if op.layer is None or not keeps_axes(op.layer):
            return None if op.layer is None else op
    return None
