"""BN703: BN layers that the layer before them could take over in evaluation."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Source, Symptom

_TAKES_OVER = (
    *(nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)


class FoldableNorm(Rule):
    """BN layers that the layer before them could take over in evaluation."""

    code = "BN703"
    name = "foldable-norm"
    severity = "info"
    needs = ("data",)
    finds = (
        "BN layers of a model in evaluation mode, without an optimizer, whose input comes from one linear or "
        "convolution layer that feeds nothing else. Both are called once."
    )
    why = (
        "In evaluation such a layer only scales and shifts each channel, which the weights before it can do as well. "
        "The folded model computes the same with fewer passes through memory. It can't be trained further as before, "
        "so fold a copy for delivery and keep the model."
    )
    measured = "Values are followed through one evaluation pass, including functional code."
    fixed = (
        "normwise.fold returns a copy without these layers, compares the outputs, and measures the time. It changes "
        "the structure and the keys of the state_dict."
    )
    safety = "unsafe"
    sources = (Source("Jacob et al. 2018", "section 3.2", "https://arxiv.org/abs/1712.05877"),)

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers that could be folded."""
        modes = facts.modes
        if modes.model or facts.optimizer is not None:
            return
        flow = facts.flow
        calls = Counter(op.path for op in flow.norms())
        mixers = Counter(id(op.module) for op in flow.ops if isinstance(op.module, _TAKES_OVER))
        for norm in flow.norms():
            kind, sources = facts.layers[norm.path], flow.sources(norm)
            if not kind.has_statistics or norm.path in modes.in_training or calls[norm.path] > 1:
                continue
            if len(sources) != 1 or not isinstance(mixer := sources[0].module, _TAKES_OVER):
                continue
            if mixers[id(mixer)] > 1 or flow.consumers(sources[0]) != [norm] or flow.is_output(sources[0]):
                continue
            yield Symptom(
                norm.path,
                type(kind.layer).__name__,
                (measured("values that it computes in the first batch", math.prod(norm.shape)),),
                f"into {type(mixer).__name__} {sources[0].path!r}",
                float(math.prod(norm.shape)),
            )

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Count the layers."""
        return (
            f"{len(symptoms)} of {len(facts.layers)} BN layers could be folded into the layer before them for "
            "delivery."
        )

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Fold them."""
        return "folded, report = normwise.fold(model, batch)"

    def sick(self) -> Case:
        """Return a BN layer after a convolution."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8, momentum=None), nn.ReLU())
        x = torch.randn(16, 3, 6, 6)
        model(x)
        return Case(model.eval(), [x])

    def healthy(self) -> Case:
        """Return one after an activation."""
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.BatchNorm2d(8, momentum=None), nn.Conv2d(8, 2, 1)]
        model, x = nn.Sequential(*layers), torch.randn(16, 3, 6, 6)
        model(x)
        return Case(model.eval(), [x])
