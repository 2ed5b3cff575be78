"""BN102: a BN layer whose values are the predictions of the model."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.passes.flow import Flow, Op
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Measured, Source, Symptom

#: Operations that turn scores into probabilities.
_TO_PROBABILITIES = frozenset(("softmax", "log_softmax", "sigmoid", "logsigmoid"))
#: Losses whose first argument is a prediction.
_LOSSES = (
    nn.CrossEntropyLoss, nn.NLLLoss, nn.BCELoss, nn.BCEWithLogitsLoss, nn.MultiMarginLoss, nn.MultiLabelMarginLoss,
    nn.MultiLabelSoftMarginLoss, nn.PoissonNLLLoss,
)  # fmt: skip
_LOSS_FUNCTIONS = (
    F.cross_entropy, F.nll_loss, F.binary_cross_entropy, F.binary_cross_entropy_with_logits, F.multi_margin_loss
)  # fmt: skip


class NormOnOutput(Rule):
    """A BN layer whose values are the predictions of the model."""

    code = "BN102"
    name = "norm-on-output"
    severity = "warning"
    needs = ("data",)
    finds = (
        "A BN layer whose values are the predictions of the model, with no weighted layer after it; at most the "
        "values are moved or turned into probabilities. Models whose outputs are features are left out."
    )
    why = (
        "The layer gives every output a mean of β and a standard deviation of |γ| over each training batch, whatever "
        "the batch contains. Scores can't grow with confidence, a regression can't follow the mean and scale of its "
        "targets, and in training the prediction for a sample depends on the other samples of the batch."
    )
    measured = (
        "Values are followed from the BN layer to the output in one evaluation pass. The output counts as a "
        "prediction if it becomes a probability, if the loss is a classification loss, if there are as many classes "
        "in the targets as outputs, or if targets and outputs have the same shape."
    )
    fixed = (
        "Remove the layer and train again, so that the last layer is a weighted one with a bias. In a model that is "
        "already trained, normwise.fold merges it into the layer before, and the outputs in evaluation stay the same."
    )
    safety = "unsafe"
    sources = (
        Source("Ioffe & Szegedy 2015", "section 3.2", "https://arxiv.org/abs/1502.03167"),
        Source("Goyal et al. 2017", "section 5.1", "https://arxiv.org/abs/1706.02677"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the BN layers that make predictions."""
        flow, found = facts.flow, set()
        if flow.failed or flow.scores is None:
            return
        for norm in flow.norms():
            kind = facts.layers[norm.path]
            if kind.activation is not None or kind.followers or norm.path in found:
                continue
            end = _output_after(flow, norm)
            if end is None or not (end is not norm or _is_prediction(facts, flow.scores)):
                continue
            found.add(norm.path)
            channels = norm.shape[1] if len(norm.shape) > 1 else 0
            numbers = [measured("outputs", channels), *_numbers(facts, kind.layer)]
            detail = f"{end.name} turns its values into probabilities" if end is not norm else ""
            yield Symptom(norm.path, type(kind.layer).__name__, tuple(numbers), detail, channels)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say what the layer does to predictions."""
        return (
            "The predictions of the model are the values of a BN layer, which forces their mean and scale over each "
            "training batch to β and |γ|."
        )

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Remove it."""
        lines = [f"model.set_submodule({symptom.path!r}, torch.nn.Identity())" for symptom in symptoms]
        return "\n".join(
            (
                "# before training, with a bias in the layer before:",
                *lines,
                "# or, in a trained model, with the same outputs in evaluation:",
                "model, report = normwise.fold(model, batch)",
            )
        )

    def sick(self) -> Case:
        """Return a classifier that ends in BN."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 3, bias=False), nn.BatchNorm1d(3, momentum=None))
        x, classes = torch.randn(64, 4), torch.arange(64) % 3
        model(x)
        return Case(model.eval(), [(x, classes)], nn.CrossEntropyLoss())

    def healthy(self) -> Case:
        """Return one that ends in a linear layer."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 3)
        )
        x, classes = torch.randn(64, 4), torch.arange(64) % 3
        model(x)
        return Case(model.eval(), [(x, classes)], nn.CrossEntropyLoss())


def _output_after(flow: Flow, norm: Op) -> Op | None:
    """Return the operation that makes the scores from a layer's values; None if something else is between."""
    if flow.is_output(norm, scores=True):
        return norm
    following = [op for op in flow.consumers(norm) if op.name in _TO_PROBABILITIES]
    return next((op for op in following if flow.is_output(op, scores=True)), None)


def _is_prediction(facts: Facts, scores: Op) -> bool:
    """Return whether the output is compared with targets: classes, or numbers of the same shape."""
    if isinstance(facts.loss, _LOSSES) or facts.loss in _LOSS_FUNCTIONS:
        return True
    targets = [batch.target for batch in facts.batches.batches if isinstance(batch.target, Tensor)]
    if not targets or not scores.shape:
        return False
    shape = tuple(targets[0].shape)
    if shape == scores.shape or (*shape, 1) == scores.shape:
        return True
    if targets[0].is_floating_point() or len(scores.shape) < 2:
        return False
    classes = 1 + max((int(target.max()) for target in targets if target.numel()), default=0)
    return shape == (scores.shape[0], *scores.shape[2:]) and classes == scores.shape[1] > 1


def _numbers(facts: Facts, layer: Any) -> list[Measured]:
    numbers = []
    weight = getattr(layer, "weight", None)
    if isinstance(weight, Tensor) and weight.numel():
        numbers.append(
            measured("mean |γ|, their standard deviation in a batch,", weight.detach().abs().mean().item())
        )
    distance = facts.probe.batch.distance
    if distance == distance:
        numbers.append(
            measured("outputs by batch statistics differ from those in evaluation by", distance, "σ")
        )
    return numbers
