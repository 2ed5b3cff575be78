"""BN303: running statistics that change in layers whose parameters are frozen."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parameter import is_lazy

from normwise.doctor.facts.facts import Facts
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Measured, Severity, Source, Symptom


class UnfrozenStatistics(Rule):
    """Running statistics that change in layers whose parameters are frozen."""

    code = "BN303"
    name = "unfrozen-statistics"
    severity = "warning"
    needs = ("model",)
    finds = (
        "BN layers whose γ and β are frozen, or that have none that are trained and follow a frozen layer, while a "
        "training step changes their running statistics. A parameter is frozen if it needs no gradient, or if the "
        "given optimizer has neither it nor the layer before it. Models without any trained parameter are left out."
    )
    why = (
        "requires_grad=False freezes parameters, but running statistics are buffers: in training mode the layer "
        "still normalises by the batch, and each step updates them. A backbone that should stay unchanged does "
        "change. Calling eval() on it helps only until the next model.train()."
    )
    measured = (
        "With data, one training step is made and undone, and the running statistics before and after are compared. "
        "The finding gives the root mean square distance between the running mean and the batch mean, in standard "
        "deviations of the batch. Without data, the mode of the layer after model.train() decides."
    )
    fixed = (
        "normwise.freeze fixes the running statistics, whatever the mode of the model. It changes the classes of the "
        "layers and the training, but nothing that a state_dict holds, so call it where you freeze parameters."
    )
    safety = "unsafe"
    sources = (
        Source("pytorch issue 86590", "", "https://github.com/pytorch/pytorch/issues/86590"),
        Source(
            "pytorch-lightning issue 18930",
            "",
            "https://github.com/Lightning-AI/pytorch-lightning/issues/18930",
        ),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the frozen layers whose statistics a training step changes."""
        trained = _trained(facts)
        if not trained:
            return
        moving = facts.modes.in_training if facts.modes.model else _in_training_later(facts)
        preceding = _layers_before(facts.model)
        for path in moving:
            layer = facts.layers[path].layer
            if not facts.layers[path].initialised:
                continue
            own, before = list(layer.parameters()), preceding.get(path)
            above = [] if before is None else list(before.parameters(recurse=False))
            frozen, source_frozen = _is_frozen(own, trained), _is_frozen(above, trained)
            # A layer that only the optimizer lacks may be an oversight; with the layer before it, it was left out.
            needs_none = frozen and not any(parameter.requires_grad for parameter in own)
            if not (needs_none or (source_frozen and (frozen or not own))):
                continue
            evidence = list(_moved(facts, path))
            if "data" in facts.has and not evidence:
                continue
            if own:
                evidence.append(measured("frozen parameters of the layer", sum(p.numel() for p in own)))
            detail = "the layer before it is frozen, too" if source_frozen else ""
            badness = evidence[0].value if "data" in facts.has else 0.0
            yield Symptom(path, type(layer).__name__, tuple(evidence), detail, badness)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Count the layers."""
        layers = "A BN layer is" if len(symptoms) == 1 else f"{len(symptoms)} BN layers are"
        move = "changes" if "data" in facts.has else "will change"
        whose = "its" if len(symptoms) == 1 else "their"
        return f"{layers} frozen, but training {move} {whose} running statistics."

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return "error" in training; "info" where nothing says that the model will be trained."""
        if facts.modes.model and any(symptom.detail for symptom in symptoms):
            return "error"
        return "warning" if facts.modes.model or facts.expects_training else "info"

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Freeze the statistics: of the model, or of the part that has all the layers."""
        if len(symptoms) == len(facts.layers):
            return "normwise.freeze(model)"
        paths = [symptom.path.split(".")[:-1] for symptom in symptoms]
        common = list(paths[0])
        while any(path[: len(common)] != common for path in paths):
            common.pop()
        root = ".".join(common)
        inside = [path for path in facts.layers if not root or path.startswith(f"{root}.")]
        if root and len(inside) == len(symptoms):
            return f'normwise.freeze(model.get_submodule("{root}"))'
        return "\n".join(
            f'normwise.freeze(model.get_submodule("{symptom.path}"))'
            for symptom in sorted(symptoms, key=lambda symptom: list(facts.layers).index(symptom.path))
        )

    def sick(self) -> Case:
        """Return a backbone without gradients whose BN layer still updates its statistics."""
        torch.manual_seed(0)
        backbone = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU())
        for _ in range(100):
            backbone(torch.randn(64, 4))
        backbone.requires_grad_(False)
        model = nn.Sequential(backbone, nn.Linear(8, 3))
        optimizer = torch.optim.SGD(model[1].parameters(), lr=0.1)
        data = [(torch.randn(64, 4), torch.randint(3, (64,)))]
        return Case(model.train(), data, F.cross_entropy, optimizer)

    def healthy(self) -> Case:
        """Return one that keeps its statistics."""
        import normwise

        torch.manual_seed(0)
        backbone = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU())
        for _ in range(100):
            backbone(torch.randn(64, 4))
        normwise.freeze(backbone.requires_grad_(False))
        model = nn.Sequential(backbone, nn.Linear(8, 3))
        optimizer = torch.optim.SGD(model[1].parameters(), lr=0.1)
        data = [(torch.randn(64, 4), torch.randint(3, (64,)))]
        return Case(model.train(), data, F.cross_entropy, optimizer)


def _trained(facts: Facts) -> set[int]:
    """Return the ids of the parameters that are trained."""
    named = dict(facts.model.named_parameters())
    if facts.optimizer is None:
        return {id(parameter) for parameter in named.values() if parameter.requires_grad}
    held = facts.optimizer_facts.group_of
    return {id(parameter) for name, parameter in named.items() if parameter.requires_grad and name in held}


def _is_frozen(parameters: list[nn.Parameter], trained: set[int]) -> bool:
    return bool(parameters) and not any(id(parameter) in trained for parameter in parameters)


def _in_training_later(facts: Facts) -> list[str]:
    """Return the paths of the layers that ``model.train()`` puts into training."""
    modes = facts.modes
    return [
        path for path in (*modes.in_training, *modes.in_evaluation) if path not in modes.stuck_in_evaluation
    ]


def _layers_before(model: nn.Module) -> dict[str, nn.Module]:
    """Return, for each path, the nearest earlier module that has weights, in the order of the model."""
    found: dict[str, nn.Module] = {}
    before: nn.Module | None = None
    for path, module in model.named_modules():
        if before is not None:
            found[path] = before
        if any(is_lazy(parameter) or parameter.dim() > 1 for parameter in module.parameters(recurse=False)):
            before = module
    return found


def _moved(facts: Facts, path: str) -> Iterator[Measured]:
    """Yield how far a step moves the statistics of a layer; nothing if it does not."""
    if "data" not in facts.has:
        return
    for norm in facts.norms.values():
        if norm.layer_path != path or norm.path not in facts.step.moved or norm.mean is None:
            continue
        call = next((call for call in facts.step.calls_of(path) if call.path == norm.path), None)
        distance = 0.0 if call is None else _distance(norm.mean.double(), call.mean, call.deviation)
        yield measured("a step moves the running mean towards one at a distance of", distance, "σ")
        return


def _distance(running: Tensor, mean: Tensor, deviation: Tensor) -> float:
    if running.shape != mean.shape:
        return float("nan")
    return ((running - mean) / deviation.clamp_min(1e-30)).nan_to_num().square().mean().sqrt().item()
