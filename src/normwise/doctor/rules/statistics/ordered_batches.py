"""BN206: batches that are ordered by class or source."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.data.batch_order import ClassOrder, class_order
from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.passes.batch_moments import BatchMoments
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Measured, Severity, Source, Symptom

#: Least ratio of the scatter of batches' means to that of a random order, and how many standard errors above 1.
_RATIO, _ERRORS = 3.0, 8.0
#: Scatter of the batches' means, in σ, below which an order does not matter to BN.
_MATTERS = 0.1
#: Fewest batches whose means are compared.
_FEWEST = 4
#: Least number of samples of a single class, for a model with more classes, that is not chance.
_ONE_CLASS = 32


class OrderedBatches(Rule):
    """Batches that are ordered by class or source."""

    code = "BN206"
    name = "ordered-batches"
    severity = "warning"
    needs = ("data",)
    finds = "Batches whose samples belong together: of one class, one source or one stretch of time."
    why = (
        "BN assumes that a batch represents all data. In training, batches of one class are normalised by the "
        "statistics of that class, which removes what distinguishes it from others. The running average is that of "
        "the last classes, and evaluation with statistics of all classes is something the model has never seen."
    )
    measured = (
        "With integer targets, the classes of each batch are compared with those of all batches, by Pearson's χ² "
        "over its degrees of freedom. Without targets, the scatter of the batches' means in each BN layer is "
        "compared with that of samples in random order: Fisher's F. Both are about 1 for a random order. For data "
        "that are read completely and are not training data, it is a note."
    )
    fixed = (
        "Let the loader shuffle, in your script. Afterwards measure statistics that were collected in order again, "
        "with normwise.calibrate on batches of all data."
    )
    safety = "manual"
    sources = (
        Source("pytorch issue 4741", "", "https://github.com/pytorch/pytorch/issues/4741"),
        Source("Wu & Johnson 2021", "section 5", "https://arxiv.org/abs/2105.07576"),
    )
    supersedes = ("BN201", "BN208")

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the model as a whole if batches are ordered by classes or means."""
        order = class_order([batch.target for batch in facts.batches.batches])
        evidence = [*_of_classes(facts, order), *(_of_means(facts) if order is None else ())]
        if evidence:
            yield Symptom("", "", tuple(evidence))

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Make it a note for data that are read completely and not for training: their statistics are still right."""
        return "info" if facts.batches.is_whole and not facts.data_are_for_training else "warning"

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """State the order, and what the loader reports."""
        by = "class" if symptoms[0].evidence[0].label.startswith("classes") else "what they contain"
        drawn = " The loader does not shuffle." if facts.batches.shuffles is False else ""
        return f"Batches are ordered by {by}, so that no batch represents all data.{drawn}"

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Shuffle."""
        return "loader = DataLoader(dataset, batch_size=..., shuffle=True)"

    def sick(self) -> Case:
        """Return data that are sorted by class."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 4)
        )
        y = torch.arange(4).repeat_interleave(64)  # sorted
        x = torch.randn(256, 4) + 2 * nn.functional.one_hot(y)
        model(x)
        batches = list(zip(x.split(32), y.split(32), strict=True))
        return Case(model.eval(), batches, optimizer=torch.optim.SGD(model.parameters(), 0.1))

    def healthy(self) -> Case:
        """Return the same data, shuffled."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 4)
        )
        y = torch.arange(4).repeat_interleave(64)[torch.randperm(256)]  # shuffled
        x = torch.randn(256, 4) + 2 * nn.functional.one_hot(y)
        model(x)
        return Case(model.eval(), list(zip(x.split(32), y.split(32), strict=True)))


def _of_classes(facts: Facts, order: ClassOrder | None) -> Iterable[Measured]:
    if order is None:
        return
    known = _classes_of_model(facts) if order.classes == 1 and order.samples >= _ONE_CLASS else 0
    if not order.is_ordered and not (known > 1 and not facts.batches.is_whole):
        return
    yield measured("classes in a batch", order.classes_of_batch)
    yield measured("classes in all batches", order.classes)
    if known:
        yield measured("classes that the model knows", known)
    else:
        yield measured("order of classes", order.ratio, "times that of a random order")


def _of_means(facts: Facts) -> Iterable[Measured]:
    if facts.probe.failed:
        return
    found = [
        (_middle(moments, moments.order_ratio), _middle(moments, moments.mean_noise), len(moments.counts))
        for moments in facts.probe.moments.values()
        if len(moments.counts) >= _FEWEST
    ]
    ordered = [
        (ratio, noise)
        for ratio, noise, calls in found
        if ratio > max(_RATIO, 1 + _ERRORS * math.sqrt(2 / (calls - 1))) and noise > _MATTERS
    ]
    if ordered:
        ratio, noise = max(ordered)
        yield measured("means of batches scatter", ratio, "times as much as in a random order, in squares")
        yield measured("which is", noise, "σ")


def _middle(moments: BatchMoments, values: torch.Tensor) -> float:
    """Return the median over the channels that are not constant."""
    alive = values[(moments.high > moments.low) & values.isfinite()] if values.numel() else values
    return alive.median().item() if alive.numel() else math.nan


def _classes_of_model(facts: Facts) -> int:
    """Return the number of scores for a sample; 0 if the output has no scores."""
    shapes = [op.shape for op in facts.flow.outputs]
    return shapes[0][1] if shapes and len(shapes[0]) == 2 else 0
