"""BN702: SyncBatchNorm without other processes to synchronise with."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.rule import Case, Rule, measured
from normwise.errors import NormwiseError
from normwise.layers import LayerKind
from normwise.records import Severity, Source, Symptom
from normwise.surgery.convert.convert import convert
from normwise.surgery.core.decision import LeftError


class SyncNormAlone(Rule):
    """SyncBatchNorm without other processes to synchronise with."""

    code = "BN702"
    name = "sync-norm-alone"
    severity = "warning"
    needs = ("model",)
    finds = (
        "torch.nn.SyncBatchNorm layers in a process without a process group, in a group of one process, or on the "
        "CPU, where they can't train in a group."
    )
    why = (
        "Without a group the layer computes what BatchNorm computes, and synchronises nothing; in a group it raises "
        "an error when it trains on the CPU. Tools for export and folding often don't support it."
    )
    measured = (
        "The process group of each layer, the number of its processes, and the device of the layer are read. "
        "normwise.nn.SyncBatchNorm is not reported: it runs everywhere, and in a single process it is BatchNorm."
    )
    fixed = (
        "normwise.convert replaces them with torch's BatchNorm in a single process, and with "
        "normwise.nn.SyncBatchNorm, which trains on a CPU, in several processes. Parameters, statistics, keys and "
        "outputs in evaluation stay the same. This is safe, and proven by measuring again. It needs a batch, which "
        "shows the number of dimensions."
    )
    safety = "safe"
    sources = (
        Source("mmsegmentation issue 2147", "", "https://github.com/open-mmlab/mmsegmentation/issues/2147"),
        Source("pytorch issue 63662", "", "https://github.com/pytorch/pytorch/issues/63662"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers that are alone, or that can't train where they are."""
        for path, kind in facts.layers.items():
            if not isinstance(kind.layer, nn.SyncBatchNorm) or kind.frozen:
                continue
            count = facts.processes_of(path) if facts.processes else 0
            on_cpu = all(tensor.device.type == "cpu" for tensor in kind.layer.state_dict().values())
            if count > 1 and not on_cpu:
                continue
            yield Symptom(
                path,
                type(kind.layer).__name__,
                (measured("processes in the group", count),),
                "on the CPU" if on_cpu else "",
                float(on_cpu),
            )

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say what is missing."""
        count = len(symptoms)
        layers = "A SyncBatchNorm layer" if count == 1 else f"{count} SyncBatchNorm layers"
        if _fails(facts, symptoms):
            return f"{layers} in a process group {'is' if count == 1 else 'are'} on the CPU, where training fails."
        return f"{layers} {'has' if count == 1 else 'have'} no other process to synchronise with."

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return "error" where training will fail."""
        return "error" if _fails(facts, symptoms) else "warning"

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Convert them."""
        return f'model, _ = normwise.convert(model, "{_target(facts)}", example=batch)'

    def heal(self, facts: Facts, model: nn.Module, symptoms: Sequence[Symptom]) -> str:
        """Convert those of the copy."""
        if "data" not in facts.has:
            raise LeftError("that needs a batch, which shows the number of dimensions")
        target = _target(facts)
        others = [path for path, kind in facts.layers.items() if _would_change(kind, target)]
        if others:
            raise LeftError(f"layer {others[0]!r} is of another class, and would be converted as well")
        given = facts.batches.batches[0]
        try:
            _, report = convert(model, target, example=given.kwargs or given.args[:1], inplace=True)
        except NormwiseError as error:
            raise LeftError(str(error)) from error
        left = [path for path, module in model.named_modules() if isinstance(module, nn.SyncBatchNorm)]
        if left:
            reasons = {change.path: change.detail for change in report.changes}
            raise LeftError(
                f"layer {left[0]!r} can't be converted: {reasons.get(left[0], 'it was not called')}"
            )
        made = "BatchNorm layers of torch" if target == "torch" else "SyncBatchNorm layers of normwise"
        return f"{len(symptoms)} SyncBatchNorm layers were made {made}"

    def sick(self) -> Case:
        """Return a model from a cluster, on its own."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        x = torch.randn(64, 4)
        for _ in range(100):
            model(x)
        return Case(nn.SyncBatchNorm.convert_sync_batchnorm(model.eval()), [x])

    def healthy(self) -> Case:
        """Return one with BatchNorm."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        x = torch.randn(64, 4)
        for _ in range(100):
            model(x)
        return Case(model.eval(), [x])


def _target(facts: Facts) -> str:
    return "sync" if facts.processes > 1 else "torch"


def _would_change(kind: LayerKind, target: str) -> bool:
    """Return whether a conversion of all layers would change one that the finding does not name."""
    if isinstance(kind.layer, nn.SyncBatchNorm):
        return False
    return kind.ours or kind.adapter is not None or target == "sync"


def _fails(facts: Facts, symptoms: Sequence[Symptom]) -> bool:
    """Return whether torch's layers raise an error in training: they ask for the group before they count it."""
    return facts.processes > 0 and any(symptom.detail for symptom in symptoms)
