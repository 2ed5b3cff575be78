"""BN406: channels with values that are not finite, or near the largest number of their type."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.passes.batch_moments import BatchMoments
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Measured, Severity, Source, Symptom

#: Share of the largest number of a 16-bit type from which values are near it.
_NEAR_END = 1 / 8
#: Size of a float32 value from which its square is near the largest number.
_HUGE = 1e17
#: Deviation relative to the layer's median, and absolute, from which a channel explodes.
_TIMES, _LARGE = 1e4, 1e3
#: Largest share of exploding channels that counts as exceptional.
_FEW = 0.1


class ExplodingChannels(Rule):
    """Channels with values that are not finite, or near the largest number of their type."""

    code = "BN406"
    name = "exploding-channels"
    severity = "warning"
    needs = ("data",)
    finds = (
        "A BN layer that gets NaN or infinite values, values near the largest number of their type, or a few huge "
        "channels."
    )
    why = (
        "One value that is not finite makes the mean and variance of its channel not finite. In training it also "
        "breaks the running ones permanently: no later batch corrects an average that is NaN. Until then BN hides "
        "growth: its outputs have the same size however large its inputs are, until the inputs or their squares "
        "overflow."
    )
    measured = (
        "A pass with batch statistics counts each layer's calls with values that are not finite, which are an error. "
        "In the other calls the largest absolute value is compared with the largest number of the type, and each "
        "channel's deviation with the layer's median. A channel explodes if its deviation is 10,000 times the "
        "median, in at most a tenth of the channels."
    )
    fixed = (
        "Look at the first layer in the finding: check the inputs themselves, or the weights before it. Clip "
        "gradients, lower the learning rate, leave out the broken samples, or compute that part in float32; then "
        "replace the statistics by normwise.calibrate."
    )
    safety = "manual"
    sources = (
        Source("pytorch issue 1206", "", "https://github.com/pytorch/pytorch/issues/1206"),
        Source("Micikevicius et al. 2018", "section 3", "https://arxiv.org/abs/1710.03740"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers with such values; those that come first in the model are the worst."""
        probe = facts.probe
        order = {path: number for number, path in enumerate(probe.order)}
        for norm in facts.norms.values():
            moments = probe.moments.get(norm.path)
            if moments is None:
                continue
            early = 1 / (1 + order.get(norm.path, len(order)))
            if moments.not_finite:
                bad = sum(
                    not _is_finite(batch.args) or not _is_finite(batch.kwargs)
                    for batch in facts.batches.batches
                )
                evidence = [
                    measured("calls with values that are not finite", moments.not_finite),
                    measured("of", moments.not_finite + len(moments.counts)),
                    measured("batches whose inputs are not finite themselves", bad),
                ]
                yield Symptom(norm.path, norm.kind, tuple(evidence), badness=2 + early)
            elif moments.counts:
                found = _near_end(moments) or _single(facts, norm.layer_path, moments)
                if found:
                    yield Symptom(norm.path, norm.kind, found, badness=early)

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return "error" for values that are not finite."""
        return "error" if symptoms[0].badness > 2 else "warning"

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Name the first layer."""
        worst = symptoms[0]
        where = worst.path or "the model"
        if worst.badness > 2:
            calls, of, bad = (int(number.value) for number in worst.evidence)
            cause = "the data have them already" if bad else "the model computes them from finite data"
            return f"Values that are not finite reach {where} first, in {calls} of {of} calls: {cause}."
        return f"Values become huge before {where}: {worst.evidence[0].label} {worst.evidence[0].value:.2g}."

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Stop them at their source."""
        if symptoms[0].badness > 2:
            return (
                "if not torch.isfinite(inputs).all():\n"
                "    continue  # in the loop over the batches, before the model sees them\n"
                "# and, if a model computes them from finite inputs, after loss.backward():\n"
                "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)"
            )
        return "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # after loss.backward(), with weight decay"

    def sick(self) -> Case:
        """Return data with one broken sample."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 3)
        )
        x = torch.randn(64, 4)
        model(x)
        broken = x.clone()
        broken[5, 0] = torch.inf
        return Case(model.eval(), [x, broken])

    def healthy(self) -> Case:
        """Return the data without it."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 3)
        )
        x = torch.randn(64, 4)
        model(x)
        return Case(model.eval(), [x, x.flip(0)])


def _is_finite(values: object) -> bool:
    return all(
        bool(leaf.isfinite().all())
        for leaf in pytree.tree_leaves(values)
        if isinstance(leaf, Tensor) and leaf.is_floating_point()
    )


def _near_end(moments: BatchMoments) -> tuple[Measured, ...]:
    """Return the evidence that values are near the largest number of their type."""
    largest = torch.maximum(moments.high.abs(), moments.low.abs()).max().item()
    end = torch.finfo(moments.dtype).max
    # Squares of float16 are taken in float32; those of other types have the exponents of float32.
    limit = _NEAR_END * end if moments.dtype is torch.float16 else _HUGE
    if moments.dtype is torch.float64 or largest < limit:
        return ()
    name = str(moments.dtype).removeprefix("torch.")
    return (measured("greatest absolute value", largest), measured(f"largest {name}", end))


def _single(facts: Facts, path: str, moments: BatchMoments) -> tuple[Measured, ...]:
    """Return the evidence that a few channels are far larger than the others, for other reasons than the data."""
    variance = torch.stack(moments.variances).mean(0)
    deviation = variance[variance > 0].sqrt()
    if not len(deviation):
        return ()
    typical = deviation.median()
    huge = (deviation > _TIMES * typical) & (deviation > _LARGE)
    if not bool(huge.any()) or huge.double().mean() > _FEW:
        return ()
    sources = [op for norm in facts.flow.calls_of(path) for op in facts.flow.sources(norm)]
    if sources and all(op.name == "input" for op in sources):
        return ()  # features of other units than the others
    return (
        measured("largest deviation of a channel", deviation.max().item()),
        measured("typical deviation", typical.item()),
        measured("channels that explode", int(huge.sum())),
    )
