"""BN204: running mean and running variance that were swapped."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.model.norm_facts import NormFacts
from normwise.doctor.facts.passes.running_statistics import FINE, TIMES_NOISE, averaging_noise, error_of
from normwise.doctor.rule import Case, Rule, measured
from normwise.layers import slots_of
from normwise.records import Measured, Source, Symptom
from normwise.surgery.core.decision import LeftError

#: Share of channels with negative variance from which the numbers alone decide, and the fewest such channels.
_NEGATIVE_SHARE, _FEWEST = 0.2, 2
#: How many times closer to the data the statistics must be after the swap.
_CLOSER = 3.0
#: Errors after the swap, in σ, up to which it explains everything, even where the running average was noisy.
_EXPLAINED = 0.5


class SwappedStatistics(Rule):
    """Running mean and running variance that were swapped."""

    code = "BN204"
    name = "swapped-statistics"
    severity = "error"
    needs = ("numbers",)
    finds = "Running means in the place of running variances, and vice versa."
    why = (
        "Frameworks list the four tensors of a BN layer in different orders. A port that mixes them up loads without "
        "an error, since their shapes are the same. Evaluation gives NaN where a mean is negative, and wrong values "
        "elsewhere."
    )
    measured = (
        "Without data: variances are negative in at least a fifth of the channels, and no mean is negative. With "
        f"data: after the swap the error of the normalised values must be small, and at least {_CLOSER:g} times "
        "smaller than before."
    )
    fixed = (
        "The two buffers are swapped; nothing else changes. This is safe, and proven by measuring again. Correct the "
        "port as well: its γ and β may also be in the wrong places."
    )
    safety = "safe"
    sources = (
        Source("nn-transfer pull request 3", "", "https://github.com/gzuidhof/nn-transfer/pull/3"),
        Source("pytorch2keras issue 120", "", "https://github.com/gmalivenko/pytorch2keras/issues/120"),
    )
    supersedes = ("BN201", "BN203")

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers whose statistics are swapped."""
        for norm in facts.norms.values():
            if norm.mean is None or norm.variance is None or norm.is_initial:
                continue
            if not bool(norm.mean.isfinite().all() and norm.variance.isfinite().all()):
                continue
            evidence = _by_data(facts, norm)
            if evidence is None:
                evidence = _by_numbers(norm)
            if evidence:
                yield Symptom(norm.path, norm.kind, evidence, badness=evidence[0].value)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """State the problem."""
        return (
            "Running means and variances are swapped, as a faulty port from another framework can leave them."
        )

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare evaluation with running and with exact statistics."""
        return facts.probe.cost_of_statistics if "data" in facts.has else ""

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Swap them."""
        paths = ", ".join(
            repr(path) for path in dict.fromkeys(facts.norms[s.path].layer_path for s in symptoms)
        )
        return (
            f"for path in [{paths}]:\n"
            "    layer = model.get_submodule(path)\n"
            "    mean, variance = layer.running_var.clone(), layer.running_mean.clone()\n"
            "    layer.running_mean.copy_(mean)\n"
            "    layer.running_var.copy_(variance)"
        )

    def heal(self, facts: Facts, model: nn.Module, symptoms: Sequence[Symptom]) -> str:
        """Swap the buffers of the copy."""
        for symptom in symptoms:
            norm = facts.norms[symptom.path]
            if norm.traits is None or set(norm.traits.computed) & {"running_mean", "running_var"}:
                raise LeftError("the statistics are computed, not stored in buffers")
            slots = slots_of(norm.layer_path, model.get_submodule(norm.layer_path))
            slot = next(slot for slot in slots if slot.path == symptom.path)
            mean, variance = slot.values()
            slot.put(variance, mean)
        return f"mean and variance of {len(symptoms)} layers swapped"

    def sick(self) -> Case:
        """Return a layer whose buffers were loaded in the wrong order."""
        torch.manual_seed(0)
        norm = nn.BatchNorm1d(8)
        model = nn.Sequential(nn.Linear(4, 8, bias=False), norm, nn.ReLU(), nn.Linear(8, 3))
        x = 2 * torch.randn(64, 4) + 1
        for _ in range(100):
            model(x)
        held = {name: buffer.clone() for name, buffer in norm.named_buffers()}
        swapped = {"running_mean": held["running_var"], "running_var": held["running_mean"]}
        norm.load_state_dict(swapped, strict=False)
        return Case(model.eval(), [x])

    def healthy(self) -> Case:
        """Return one with the right order."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        x = 2 * torch.randn(64, 4) + 1
        for _ in range(100):
            model(x)
        return Case(model.eval(), [x])


def _by_numbers(norm: NormFacts) -> tuple[Measured, ...]:
    mean, variance = norm.mean, norm.variance
    if mean is None or variance is None or len(variance) < _FEWEST:
        return ()
    negative, below = int((variance < 0).sum()), int((mean < 0).sum())
    if below or negative < max(1, _NEGATIVE_SHARE * len(variance)) or not bool((mean > 0).any()):
        return ()
    return (
        measured("variances below 0:", negative),
        measured("means below 0:", below),
        measured("of", len(variance)),
    )


def _by_data(facts: Facts, norm: NormFacts) -> tuple[Measured, ...] | None:
    """Return the evidence from data, empty if there is none; None without data."""
    if "data" not in facts.has:
        return None
    exact, moments = facts.probe.exact_statistics.get(norm.path), facts.probe.moments.get(norm.path)
    if exact is None or moments is None or not moments.counts or norm.mean is None or norm.variance is None:
        return None
    given = error_of(norm.mean, norm.variance, exact, norm.eps)
    # Rounding may have left a variance just below 0 in what is taken for the mean of a dead channel.
    swapped = error_of(norm.variance, norm.mean.clamp_min(0), exact, norm.eps)
    noise = averaging_noise(norm, moments)
    fits = swapped <= max(FINE, min(TIMES_NOISE * noise, _EXPLAINED)) and bool((norm.mean >= -1e-6).all())
    if not fits or given < _CLOSER * swapped or given <= FINE:
        # If they are also stale, the swap does not explain all; then impossible signs show it,
        # if the swap brings the statistics nearer.
        unsigned = error_of(norm.mean, norm.variance.abs(), exact, norm.eps)
        return _by_numbers(norm) if _CLOSER * swapped <= unsigned else ()
    return (
        *(() if math.isinf(given) else (measured("normalised values off by", given, "σ"),)),
        measured("off after the swap by", swapped, "σ"),
        measured("variances below 0:", int((norm.variance < 0).sum())),
        measured("of", norm.channels),
    )
