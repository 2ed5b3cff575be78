"""BN101: a bias that the next BN layer cancels."""

from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.passes.axes import origins
from normwise.doctor.facts.passes.flow import Flow, Op
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Source, Symptom

_BIASED = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")


class RedundantBias(Rule):
    """A bias that the next BN layer cancels."""

    code = "BN101"
    name = "redundant-bias"
    severity = "info"
    needs = ("data",)
    finds = "A linear or convolution layer with a bias, whose output goes into a BN layer and nowhere else."
    why = (
        "The BN layer subtracts the mean of the batch, and the bias with it. The bias learns nothing, its gradient "
        "is only rounding error, and it takes memory and time. β has the effect of a bias."
    )
    measured = (
        "Values are followed through one evaluation pass, including functional code. The only source of the BN "
        "layer's input must be a layer with a bias and the same channels, and the BN layer must be its only "
        "consumer. The largest gradient of the bias in a training step is compared with that of the weights. BN "
        "layers that stay in evaluation mode during training cancel nothing, and are left out."
    )
    fixed = (
        "Build the layer with bias=False, or let normwise.surgery.remove_biases take the bias out of a trained "
        "model: the running mean absorbs it, so evaluation stays the same. This changes the keys of the state_dict."
    )
    safety = "unsafe"
    sources = (Source("Ioffe & Szegedy 2015", "section 3.2", "https://arxiv.org/abs/1502.03167"),)

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers with such a bias."""
        flow, step = facts.flow, facts.step
        shared = _shared_parameters(facts.model)
        by_running = {call.layer_path for call in step.calls if not call.by_batch}
        seen: set[tuple[str, str]] = set()
        for norm in flow.norms():
            sources = flow.sources(norm)
            if norm.path in by_running or len(sources) != 1 or sources[0].name not in _BIASED:
                continue
            layer, module = sources[0], sources[0].module
            bias = None if module is None else module._parameters.get("bias")
            if (
                bias is None
                or not bias.requires_grad
                or id(bias) in shared
                or (norm.path, layer.path) in seen
            ):
                continue
            calls = [op for op in flow.ops if op.module is module and op.name in _BIASED]
            if facts.layers[norm.path].frozen or not all(_is_cancelled(flow, call) for call in calls):
                continue
            seen.add((norm.path, layer.path))
            evidence = [measured("parameters that learn nothing", bias.numel())]
            of_bias, of_weight = (step.gradients.get(f"{layer.path}.{name}") for name in ("bias", "weight"))
            if of_bias is not None and of_weight:
                evidence.append(
                    measured("gradient of the bias over that of the weights", of_bias / of_weight)
                )
            detail = f"the bias of {type(module).__name__} {layer.path!r}"
            kind = type(facts.layers[norm.path].layer).__name__
            yield Symptom(norm.path, kind, tuple(evidence), detail, bias.numel())

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Count the parameters."""
        total = int(sum(symptom.evidence[0].value for symptom in symptoms))
        return f"{total:,} bias parameters before BN layers are cancelled by them and learn nothing."

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Remove them."""
        return "model, report = normwise.surgery.remove_biases(model, batch)  # or bias=False where they are built"

    def sick(self) -> Case:
        """Return a layer with a bias before BN."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 3))
        x = torch.randn(64, 4)
        model(x)
        return Case(model.eval(), [x])

    def healthy(self) -> Case:
        """Return one without."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 3)
        )
        x = torch.randn(64, 4)
        model(x)
        return Case(model.eval(), [x])


def _is_cancelled(flow: Flow, layer: Op) -> bool:
    """Return whether the output of a layer goes into one BN layer alone, with its channels as those of the BN layer."""
    consumers = flow.consumers(layer)
    if len(consumers) != 1 or consumers[0].name != "norm" or flow.is_output(layer):
        return False
    last = len(layer.shape) - 1
    channels = last if layer.name == "linear" else last - int(layer.name[-2])
    return [axis for source, axis in origins(consumers[0], 1) if source is layer] == [channels]


def _shared_parameters(model: nn.Module) -> set[int]:
    """Return the ids of the parameters that several modules have."""
    counts = Counter(id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False))
    return {key for key, count in counts.items() if count > 1}
