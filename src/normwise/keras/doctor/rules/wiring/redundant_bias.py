"""BN101: a bias that the next BN layer cancels."""

from collections.abc import Iterable, Sequence

from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.facts.model.neighbours import feature_axis, has_bias, is_norm
from normwise.keras.doctor.facts.model.wiring import Op
from normwise.keras.doctor.rule import Rule, found_in, measured
from normwise.records import Symptom


class RedundantBias(Rule):
    """A bias that the next BN layer cancels."""

    code = "BN101"
    name = "redundant-bias"
    severity = "info"
    needs = ("model",)
    finds = (
        "A Dense or convolution layer with use_bias=True, whose output goes into a BN layer and nowhere else."
    )
    safety = "unsafe"

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers with such a bias."""
        seen: set[tuple[str, str]] = set()
        for op in facts.wiring.norms():
            norm = facts.norms[op.path]
            if len(op.inputs) != 1 or not norm.channels or not facts.learns(norm):
                continue
            (before,) = op.inputs
            if (
                not has_bias(before.layer)
                or not before.layer.bias.trainable
                or (op.path, before.path) in seen
            ):
                continue
            calls = [each for each in facts.wiring.ops if each.layer is before.layer]
            if not all(_is_cancelled(call) for call in calls):
                continue
            seen.add((op.path, before.path))
            size = int(before.layer.bias.shape[0])
            detail = f"the bias of {type(before.layer).__name__} {before.path!r}"
            learns_nothing = measured("parameters that learn nothing", size)
            yield found_in(facts, op.path, learns_nothing, detail=detail, badness=size)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Count the parameters."""
        total = int(sum(symptom.evidence[0].value for symptom in symptoms))
        return f"{total:,} bias parameters before BN layers are cancelled by them and learn nothing."

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Build the layers without it."""
        kinds = sorted({symptom.detail.split()[3] for symptom in symptoms})
        return "\n".join(
            f"keras.layers.{kind}(..., use_bias=False)  # where they are built" for kind in kinds
        )


def _is_cancelled(call: Op) -> bool:
    """Return whether the output of a layer goes into one BN layer alone, with its channels as those of the BN layer."""
    if len(call.consumers) != 1 or call.is_output:
        return False
    (following,) = call.consumers
    rank = len(call.shape)
    return is_norm(following.layer) and feature_axis(call.layer, rank) == following.layer.axis % rank
