"""BN107: a BN layer over another axis than that of the features."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from normwise.activations import ACTIVATIONS
from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.passes.axes import origins
from normwise.doctor.facts.passes.flow import Flow, Op
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Source, Symptom

#: Operations that always take features on the last axis.
_TAKE_FEATURES_LAST = frozenset({"lstm", "gru", "rnn_tanh", "rnn_relu", "multi_head_attention_forward"})
#: Operations that always make features on the last axis, whatever was there.
_MIX_LAST = frozenset({"linear", "layer_norm", "rms_norm"})
#: Operations whose output has its features on the last axis.
_FEATURES_LAST = _TAKE_FEATURES_LAST | _MIX_LAST | {"embedding"}
#: Operations on single values.
_SINGLE_VALUES = frozenset({
    *ACTIVATIONS, "dropout", "alpha_dropout", "prelu", "mish", "softplus", "hardtanh", "hardsigmoid", "softsign",
    "selu", "celu", "clamp", "add", "iadd", "sub", "isub", "mul", "imul", "div",
})  # fmt: skip


class ChannelsLastSequence(Rule):
    """A BN layer over another axis than that of the features."""

    code = "BN107"
    name = "channels-last-sequence"
    severity = "warning"
    needs = ("data",)
    finds = (
        "A BN layer on inputs (N, L, C) with features on the last axis, as from linear, recurrent, attention and "
        "embedding layers. BN layers take axis 1 as channels, so this one normalises each time step and mixes the "
        "features."
    )
    why = (
        "The layer has a mean, a variance, γ and β for each time step instead of each feature: different scales of "
        "the features remain, and a sequence of another length fails. If a sequence has as many steps as features, "
        "nothing fails, but the result is wrong."
    )
    measured = (
        "The axis that the layer normalises is followed back through one evaluation pass, past transpositions, views "
        "and operations on single values, to the layer that made it. The fault is reported if that layer has its "
        "features on the last axis and another axis is normalised; and if a recurrent or attention layer takes the "
        "output so."
    )
    fixed = (
        "Transpose before the BN layer and back after it, or use normwise.nn.SequenceBatchNorm, which takes features "
        "on the last axis and masks padding. Train again."
    )
    safety = "unsafe"
    sources = (
        Source(
            "torch.nn.BatchNorm1d",
            "shape",
            "https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm1d.html",
        ),
        Source("pytorch issue 71366", "", "https://github.com/pytorch/pytorch/issues/71366"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers that normalise another axis than that of the features."""
        found = set()
        for norm in facts.flow.norms():
            kind = facts.layers[norm.path]
            if norm.path in found or len(norm.shape) < 3 or kind.family != "batch":
                continue
            neighbour = _neighbour(facts.flow, norm)
            if neighbour:
                found.add(norm.path)
                yield Symptom(
                    norm.path,
                    type(kind.layer).__name__,
                    (
                        measured("axis 1, which it normalises, of length", norm.shape[1]),
                        measured("last axis, with the features, of length", norm.shape[-1]),
                    ),
                    neighbour,
                    norm.shape[-1],
                )

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say which axis is normalised."""
        return "A BN layer takes axis 1 of its input as channels, but the features are on the last axis."

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Transpose, or use the layer that takes such sequences."""
        features = int(symptoms[0].evidence[1].value)
        axes = len(facts.flow.calls_of(symptoms[0].path)[0].shape) - 2
        lines = [
            f"norm = torch.nn.BatchNorm{axes}d({features})",
            "x = norm(x.movedim(-1, 1)).movedim(1, -1)",
        ]
        if axes == 1:
            lines.append(f"# or: norm = normwise.nn.SequenceBatchNorm({features}, batch_first=True)")
        return "\n".join(lines)

    def sick(self) -> Case:
        """Return a layer with as many features as the sequence has steps."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 6, bias=False), nn.BatchNorm1d(6), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)
        )
        x = torch.randn(64, 6, 4)
        for _ in range(100):
            model(x)
        return Case(model.eval(), [x])

    def healthy(self) -> Case:
        """Return one with a transposition before BN."""

        class Transposed(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.first, self.norm, self.last = (
                    nn.Linear(4, 6, bias=False),
                    nn.BatchNorm1d(6),
                    nn.Linear(6, 3),
                )

            def forward(self, x: Tensor) -> Tensor:
                hidden = self.norm(self.first(x).transpose(1, 2)).relu()
                return self.last(hidden.mean(-1))

        torch.manual_seed(0)
        model, x = Transposed(), torch.randn(64, 6, 4)
        for _ in range(100):
            model(x)
        return Case(model.eval(), [x])


def _neighbour(flow: Flow, norm: Op) -> str:
    """Return the layer that shows where the features are, in words; empty if they are on axis 1, or unknown."""
    made = list(origins(norm, 1, _SINGLE_VALUES))
    known = [(op, axis) for op, axis in made if op.name in _FEATURES_LAST]
    # Inputs, and added constants such as positions, show nothing.
    if any(op.name not in _FEATURES_LAST and op.inputs for op, _ in made):
        return ""
    if not known:
        return _taker(flow, norm)
    on_other_axis = all(axis is not None and axis != len(op.shape) - 1 for op, axis in known)
    return (
        f"after the {known[0][0].name} of {known[0][0].path!r}"
        if on_other_axis and all(_has_features_last(op) for op, _ in known)
        else ""
    )


def _has_features_last(op: Op) -> bool:
    """Return whether the last axis has the features: a linear layer may get another axis by a transposition."""
    if op.name not in _MIX_LAST:
        return True
    last = len(op.shape) - 1
    for before, axis in origins(op, last, _SINGLE_VALUES):
        if before.name in _MIX_LAST:
            if axis != len(before.shape) - 1 or not _has_features_last(before):
                return False
        elif before.name in _FEATURES_LAST or before.name == "input":
            if axis != len(before.shape) - 1:
                return False
        elif before.inputs:
            return False
    return True


def _taker(flow: Flow, norm: Op) -> str:
    """Return the next layer, in words, if it takes the features from the last axis of what was normalised."""
    for op in _takers_after(flow, norm):
        for source, axis in origins(op, 2, _SINGLE_VALUES):
            if source is norm and axis == len(norm.shape) - 1 == 2:
                return f"before the {op.name} of {op.path!r}"
    return ""


def _takers_after(flow: Flow, norm: Op) -> Iterator[Op]:
    """Yield the layers that take features on the last axis, after operations on single values."""
    queue, seen = flow.consumers(norm), set()
    while queue:
        op = queue.pop(0)
        if op in seen:
            continue
        seen.add(op)
        if op.name in _TAKE_FEATURES_LAST:
            yield op
        elif op.name in _SINGLE_VALUES:
            queue += flow.consumers(op)
