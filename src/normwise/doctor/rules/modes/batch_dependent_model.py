"""BN305: a model that works only with the statistics of each batch."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.passes.probe import Probe
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Source, Symptom, outcome_text

#: How far outputs with batch statistics are from those with exact ones, in σ, at least.
_MOVED = 0.25
#: How much greater the loss with exact statistics is at least: over that with batch statistics, in standard errors over
#: the batches, and, where the task is a classification, by itself.
_WORSE, _ERRORS, _LEAST = 0.5, 3.0, 0.05
#: Least share of right answers that exact statistics lose.
_LOST = 0.02
#: Share of the loss that exact statistics win back at most where there are no answers: wrong statistics can make a loss
#: so great that the rest of it says nothing.
_WON_BACK = 0.9
#: Scatter of the batches' means over that of samples in random order, from which each batch comes from one source.
_ONE_SOURCE = 5.0
#: Scatter of the batches' means, in σ, from which batches are small.
_SMALL = 0.2


class BatchDependentModel(Rule):
    """A model that works only with the statistics of each batch."""

    code = "BN305"
    name = "batch-dependent-model"
    severity = "error"
    needs = ("loss",)
    finds = (
        "A model that is good with the statistics of each batch, as in training, but clearly worse both with its "
        "running statistics and with exact ones: better statistics do not help."
    )
    why = (
        "The network has learned to use information about the other samples of a batch. Training looks fine, but "
        "evaluation can't be, since each sample is then processed by itself. Usual causes are batches from one "
        "class, source or domain each, tiny batches, and tasks where the batch reveals the answer."
    )
    measured = (
        "The loss is computed on the same batches, with dropout off, with running, exact and batch statistics. With "
        "exact statistics it must exceed that with batch statistics by half and by three standard errors over the "
        "batches. In a classification, it must also be greater by 0.05, and 2 % of the answers must be lost; in "
        "other tasks, exact statistics must recover less than 90 % of what running ones lose. The outputs must "
        "differ by a quarter of their scatter. The scatter of the batches' means shows the cause."
    )
    fixed = (
        "Train again, with mixed or larger batches, or with a norm that needs no batch. For data that come in such "
        "batches, evaluate with batch statistics. Recalibration does not help."
    )
    safety = "manual"
    supersedes = ("BN201", "BN208")
    sources = (
        Source("Wu & Johnson 2021", "section 5", "https://arxiv.org/abs/2105.07576"),
        Source("automl issue 881", "", "https://github.com/google/automl/issues/881"),
        Source("moco issue 137", "", "https://github.com/facebookresearch/moco/issues/137"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the model where batch statistics alone help."""
        probe = facts.probe
        if probe.failed or not _depends(probe):
            return
        evidence = [
            measured(
                "outputs with batch statistics differ from those with exact ones by",
                probe.batch.distance,
                "σ",
            ),
        ]
        noise, order = _scatter(probe)
        if not math.isnan(noise):
            evidence.append(measured("means of the batches scatter by", noise, "σ"))
        if not math.isnan(order):
            evidence.append(measured("over that of samples in random order", math.sqrt(order), "times"))
        yield Symptom("", "", tuple(evidence), badness=probe.exact.loss - probe.batch.loss)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Name the probable cause."""
        causes = {
            "source": "each batch comes from one class, source or domain",
            "small": f"batches of {facts.batches.usual_size} are small, and their statistics are noise that it fits",
            "": "the samples of a batch reveal something about each other",
        }
        return (
            "The model is good only with batch statistics, and recalibration will not help; probably "
            f"{causes[_cause(facts.probe)]}."
        )

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare the three kinds of statistics."""
        running, batch, exact = map(outcome_text, (facts.probe.running, facts.probe.batch, facts.probe.exact))
        return f"evaluation {running}; with exact statistics {exact}; with those of each batch {batch}"

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Change the training; evaluate with batch statistics until then."""
        ways = {
            "source": "loader = DataLoader(dataset, batch_size, shuffle=True)  # mix each batch, and train again",
            "small": 'model, _ = normwise.convert(model, "group")  # or larger batches; train again',
            "": 'model, _ = normwise.convert(model, "group")  # or batches that reveal nothing; train again',
        }
        return (
            f"{ways[_cause(facts.probe)]}\n"
            "with normwise.statistics.using_batch_statistics(model):  # until then, on batches like these\n"
            "    output = model(batch)"
        )

    def sick(self) -> Case:
        """Return a model trained on batches of one source each, whose mean the answer is relative to."""
        torch.manual_seed(0)
        shifts = torch.tensor([-3.0, 3.0]).repeat(4)
        batches = [(x + shift, (x[:, 0] > 0).long()) for shift in shifts for x in [torch.randn(32, 4)]]
        model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        for x, y in batches * 10:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        return Case(model.eval(), batches, F.cross_entropy)

    def healthy(self) -> Case:
        """Return one trained on mixed batches."""
        torch.manual_seed(0)
        batches = [(x, (x[:, 0] > 0).long()) for x in torch.randn(8, 32, 4)]
        model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        for x, y in batches * 10:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        return Case(model.eval(), batches, F.cross_entropy)


def _depends(probe: Probe) -> bool:
    """Return whether the model is much better with batch statistics than with exact ones, which hardly help."""
    kinds = [
        torch.tensor(probe.losses.get(kind, ()), dtype=torch.float64)
        for kind in ("running", "exact", "batch")
    ]
    running, exact, batch = kinds
    if len(batch) == 0 or not len(running) == len(exact) == len(batch):
        return False
    gaps = exact - batch
    gap, whole = gaps.mean().item(), (running - batch).mean().item()
    if not math.isfinite(gap) or not probe.batch.distance > _MOVED:
        return False
    lost = probe.batch.accuracy - probe.exact.accuracy
    classifies = not math.isnan(lost)
    if classifies and lost < _LOST:
        return False
    error = (gaps.std() / len(gaps) ** 0.5).item() if len(gaps) > 1 else 0.0
    limit = max(_ERRORS * error, _WORSE * abs(batch.mean().item()), _LEAST if classifies else 0.0)
    return gap > limit and whole > limit and (classifies or whole - gap < _WON_BACK * whole)


def _scatter(probe: Probe) -> tuple[float, float]:
    """Return the scatter of the batches' means in σ, and over that of a random order: the greatest of all layers.

    Each layer counts by the median of its channels.
    """
    found = [moments for moments in probe.moments.values() if len(moments.means) > 1]
    noises = [moments.mean_noise.nanmedian().item() for moments in found]
    orders = [moments.order_ratio.nanmedian().item() for moments in found]
    return _greatest(noises), _greatest(orders)


def _greatest(values: Sequence[float]) -> float:
    return max((value for value in values if math.isfinite(value)), default=math.nan)


def _cause(probe: Probe) -> str:
    noise, order = _scatter(probe)
    if order > _ONE_SOURCE:
        return "source"
    return "small" if noise > _SMALL else ""
