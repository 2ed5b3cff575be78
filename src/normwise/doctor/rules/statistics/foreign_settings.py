"""BN205: momentum or ε in the convention of another framework."""

from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.model.norm_facts import NormFacts
from normwise.doctor.facts.passes.running_statistics import HIGH_MOMENTUM
from normwise.doctor.heal import calibrate_copy
from normwise.doctor.rule import Case, Rule, measured
from normwise.doctor.wording import calibration
from normwise.records import Severity, Source, Symptom
from normwise.surgery.core.decision import LeftError

#: ε of Keras and TensorFlow.
_FOREIGN_EPS = 1e-3


class ForeignSettings(Rule):
    """Momentum or ε in the convention of another framework."""

    code = "BN205"
    name = "foreign-settings"
    severity = "warning"
    needs = ("model",)
    finds = (
        "A momentum above 0.5, such as 0.9, 0.99 or 0.999, which is the weight of the old value in TensorFlow and "
        "Keras but of the new one in torch; and a few layers with ε = 0.001 in a model whose other layers have "
        "another ε."
    )
    why = (
        "With momentum=0.99 torch's running statistics consist to 99 % of the last batch. Evaluation then depends on "
        "the batch that happened to be last, and more so the smaller it was. A wrong ε scales channels with a small "
        "variance differently from training."
    )
    measured = (
        f"The rule reads the momentum of each layer: above {HIGH_MOMENTUM:g} and below 1 it follows the convention "
        "of another framework. momentum=0.01 with eps=0.001 is a correct port from Keras, and not reported. An ε is "
        "only compared with the other layers of the model, and a difference is a note."
    )
    fixed = (
        "The momentum is set to 1 - momentum, and normwise.calibrate measures the statistics again. This is safe, "
        "and proven by measuring again. A state dict does not hold the momentum: change it also where the model is "
        "built."
    )
    safety = "safe"
    sources = (
        Source("torchvision issue 8250", "", "https://github.com/pytorch/vision/issues/8250"),
        Source("deeplab-pytorch issue 79", "", "https://github.com/kazuto1011/deeplab-pytorch/issues/79"),
        Source("torch.nn.BatchNorm2d", "momentum", "https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html"),
    )  # fmt: skip
    supersedes = ("BN201",)

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers with such a momentum, or the few with another ε than all others."""
        high = [norm for norm in facts.norms.values() if _high(norm) is not None]
        for norm in high:
            momentum = _high(norm) or 0.0
            evidence = [
                measured("momentum", momentum),
                measured("steps that the running average remembers", 1 / momentum),
            ]
            moments = facts.probe.moments.get(norm.path) if "data" in facts.has else None
            if moments is not None and len(moments.counts) > 1:
                noise = moments.mean_noise.nan_to_num().median().item()
                evidence.append(measured("means of batches scatter by", noise, "σ"))
            yield Symptom(norm.path, norm.kind, tuple(evidence), badness=momentum)
        if high:
            return
        for norm in _other_eps(facts):
            yield Symptom(norm.path, norm.kind, (measured("ε", norm.eps or 0.0),))

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Make it an error where evaluation is clearly worse for it, and a note for ε alone."""
        if all(_high(facts.norms[symptom.path]) is None for symptom in symptoms):
            return "info"
        probe = facts.probe if "data" in facts.has else None
        harmed = probe is not None and not probe.failed and probe.exact_helps
        return "error" if harmed and facts.probe.severity_by_cost == "error" else "warning"

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Name the momentum, and what it should be."""
        momentum = _high(facts.norms[symptoms[0].path])
        if momentum is None:
            return f"A few layers have eps={_FOREIGN_EPS:g}, as in Keras and TensorFlow, and all others have another ε."
        return (
            f"momentum={momentum:g} follows the convention of TensorFlow and Keras: in torch the last batch then has "
            f"the weight {momentum:.3g}, and the intended average needs momentum={1 - momentum:.3g}."
        )

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare evaluation with running and with exact statistics."""
        is_eps = _high(facts.norms[symptoms[0].path]) is None
        return facts.probe.cost_of_statistics if "data" in facts.has and not is_eps else ""

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Set momentum, and calibrate."""
        if _high(facts.norms[symptoms[0].path]) is None:
            return "layer.eps = ...  # the ε of training, for each of the layers above"
        return (
            "for layer in model.modules():\n"
            f'    if (getattr(layer, "momentum", None) or 0) > {HIGH_MOMENTUM:g}:\n'
            "        layer.momentum = 1 - layer.momentum\n"
        ) + calibration(facts)

    def heal(self, facts: Facts, model: nn.Module, symptoms: Sequence[Symptom]) -> str:
        """Set momentum in the copy, and calibrate it where there are data."""
        changed: dict[str, float] = {}
        for norm in (facts.norms[symptom.path] for symptom in symptoms):
            momentum = _high(norm)
            if momentum is not None and norm.layer_path not in changed:
                changed[norm.layer_path] = round(1 - momentum, 12)
        if not changed:
            raise LeftError("only you know which ε the model was trained with")
        for path, momentum in changed.items():
            model.get_submodule(path).momentum = momentum  # type: ignore[assignment]
        done = (
            f"momentum of {len(changed)} layers is 1 - momentum now, which a state dict does not hold: change it "
            "also where the model is built"
        )
        return f"{done}; {calibrate_copy(facts, model)}" if "data" in facts.has else done

    def sick(self) -> Case:
        """Return a layer with Keras's momentum."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=0.99), nn.Linear(8, 3))
        batches = [torch.randn(8, 4) for _ in range(20)]
        for x in batches:
            model(x)
        return Case(model.eval(), batches)

    def healthy(self) -> Case:
        """Return one that was ported correctly."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, eps=1e-3, momentum=0.01), nn.Linear(8, 3)
        )
        batches = [torch.randn(8, 4) for _ in range(20)]
        for _ in range(30):
            for x in batches:
                model(x)
        return Case(model.eval(), batches)


def _high(norm: NormFacts) -> float | None:
    """Return the momentum of a layer if it follows the convention of another framework."""
    momentum = norm.momentum
    if not isinstance(momentum, (int, float)) or not norm.learns or norm.mean is None:
        return None
    return float(momentum) if HIGH_MOMENTUM < momentum < 1 else None


def _other_eps(facts: Facts) -> list[NormFacts]:
    """Return the layers with Keras's ε, if most others share another one."""
    with_eps = [norm for norm in facts.norms.values() if isinstance(norm.eps, float)]
    counts = Counter(norm.eps for norm in with_eps)
    foreign = [norm for norm in with_eps if abs((norm.eps or 0.0) - _FOREIGN_EPS) < 1e-9]
    return foreign if foreign and len(counts) == 2 and 2 * len(foreign) < len(with_eps) else []
