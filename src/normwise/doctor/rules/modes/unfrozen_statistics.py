"""BN303: running statistics that move in layers whose parameters are frozen."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parameter import is_lazy

from normwise.doctor.facts.facts import Facts
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Measured, Severity, Source, Symptom


class UnfrozenStatistics(Rule):
    """Running statistics that move in layers whose parameters are frozen."""

    code = "BN303"
    name = "unfrozen-statistics"
    severity = "warning"
    needs = ("model",)
    finds = (
        "BN layers whose γ and β are frozen, or that follow a frozen layer and have none that is trained, while a "
        "training step moves their running statistics. Frozen means that a parameter needs no gradient, or that the "
        "optimizer that is given has neither it nor the layer before. Models of which nothing is trained are left out."
    )
    why = (
        "requires_grad=False freezes parameters, and running statistics are buffers: in training mode the layer still "
        "normalises by the batch, and each step moves them. A backbone that was to stay as it is becomes another one. "
        "Calling eval() on it helps until the next model.train()."
    )
    measured = (
        "With data, one training step is made and undone: the running statistics before and after are compared. The "
        "root mean square of the distance from the running mean to the batch's is given in standard deviations of the "
        "batch. Without data, the mode tells that model.train() leaves the layer in."
    )
    fixed = (
        "normwise.freeze fixes the running statistics, whatever mode the model is put into. It changes the classes of "
        "layers and what training does, and nothing that a state_dict holds, so apply it where you freeze parameters."
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
        """Return the frozen layers whose statistics a training step moves."""
        trained = _trained(facts)
        if not trained:
            return
        moving = facts.modes.in_training if facts.modes.model else _in_training_later(facts)
        behind = _layers_before(facts.model)
        for path in moving:
            layer = facts.layers[path].layer
            if not facts.layers[path].initialised:
                continue
            own, before = list(layer.parameters()), behind.get(path)
            above = [] if before is None else list(before.parameters(recurse=False))
            frozen, source_frozen = _is_frozen(own, trained), _is_frozen(above, trained)
            # One that only the optimizer lacks may have been forgotten; with the layer before it, it was left out.
            needs_none = frozen and not any(parameter.requires_grad for parameter in own)
            if not (needs_none or (source_frozen and (frozen or not own))):
                continue
            evidence = list(_moved(facts, path))
            if "data" in facts.has and not evidence:
                continue
            if own:
                evidence.append(measured("parameters of it that are frozen", sum(p.numel() for p in own)))
            detail = "the layer before it is frozen, too" if source_frozen else ""
            badness = evidence[0].value if "data" in facts.has else 0.0
            yield Symptom(path, type(layer).__name__, tuple(evidence), detail, badness)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Count the layers."""
        layers = "A BN layer is" if len(symptoms) == 1 else f"{len(symptoms)} BN layers are"
        move = "moves" if "data" in facts.has else "will move"
        whose = "its" if len(symptoms) == 1 else "their"
        return f"{layers} frozen, and training {move} {whose} running statistics all the same."

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
        """Return a backbone without gradients whose BN layer still learns."""
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
    """Return, for each path, the nearest module before it with parameters of its own, in the order of the model."""
    found: dict[str, nn.Module] = {}
    before: nn.Module | None = None
    for path, module in model.named_modules():
        if before is not None:
            found[path] = before
        if any(is_lazy(parameter) or parameter.dim() > 1 for parameter in module.parameters(recurse=False)):
            before = module
    return found


def _moved(facts: Facts, path: str) -> Iterator[Measured]:
    """Yield how far a step moves the statistics of a layer; nothing where it does not."""
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
