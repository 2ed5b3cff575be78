"""BN501: a batch that gives a layer one value per channel."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.data.small_batches import values_of_smallest_batch
from normwise.doctor.facts.facts import Facts
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Severity, Source, Symptom


class OneValuePerChannel(Rule):
    """A batch that gives a layer one value per channel."""

    code = "BN501"
    name = "one-value-per-channel"
    severity = "error"
    needs = ("data",)
    finds = (
        "A BN layer that gets one value per channel in training, N · H · W = 1, from a batch of these data."
    )
    why = (
        "One value has no variance. In training torch raises 'Expected more than 1 value per channel when training', "
        "often only at the end of the first epoch, when the leftover batch comes. A layer that does not raise "
        "returns β for every input."
    )
    measured = (
        "One training step on the first batch counts the values per channel of each BN layer, which gives the values "
        "per sample. The smallest batch is the smallest that was read, or the last batch as computed from the "
        "loader's length, batch size and drop_last. For a synchronised layer the values of all its processes count. "
        "It is an error where the data are likely those of training, or a loss is given."
    )
    fixed = (
        "If only the last batch is too small, pass drop_last=True to the loader, or use a batch size that leaves "
        "more than one sample. If every batch is, use larger batches, or in that layer a norm that needs no batch, "
        "such as GroupNorm; normwise.convert(model, to='group') replaces all BN layers. Both are changes of the "
        "training script."
    )
    safety = "manual"
    sources = (
        Source("CaDDN issue 103", "", "https://github.com/TRAILab/CaDDN/issues/103"),
        Source("mmsegmentation issue 272", "", "https://github.com/open-mmlab/mmsegmentation/issues/272"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers that get one value per channel from the smallest batch."""
        for path, found in values_of_smallest_batch(facts).items():
            if found.values > 1:
                continue
            kind = type(facts.layers[path].layer).__name__
            evidence = [
                measured("values per channel", found.values),
                measured("samples in the batch", found.samples),
                measured("samples in the usual batch", facts.batches.usual_size),
            ]
            yield Symptom(path, kind, tuple(evidence), found.place, 1 / max(found.usual, 1))

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return "info" for data that only evaluation is known to read."""
        return "error" if facts.data_are_for_training or "loss" in facts.has else "info"

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say which batch fails."""
        layers = f"{len(symptoms)} BN layers" if len(symptoms) > 1 else "A BN layer"
        verb = "get" if len(symptoms) > 1 else "gets"
        return (
            f"{layers} {verb} one value per channel from {symptoms[0].detail}, which has no variance: training fails "
            "there."
        )

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Drop the last batch, or replace the norm."""
        size = int(symptoms[0].evidence[1].value)
        if size < facts.batches.usual_size:
            return (
                "loader = torch.utils.data.DataLoader(dataset, batch_size=..., shuffle=True, drop_last=True)"
            )
        path = symptoms[0].path
        kind = type(facts.layers[path].layer)
        name, channels = kind.__name__, facts.layers[path].channels
        if not path:
            return "# batches of at least two samples, or a norm that needs no batch"
        return (
            f"# batches of at least two samples; or, in place of this {name}, a norm that needs no batch:\n"
            f"model.set_submodule({path!r}, torch.nn.GroupNorm(1, {channels}))"
        )

    def sick(self) -> Case:
        """Return data whose last batch has one sample."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        data = torch.utils.data.TensorDataset(torch.randn(65, 4))
        return Case(model, torch.utils.data.DataLoader(data, batch_size=16, shuffle=True))

    def healthy(self) -> Case:
        """Return a loader that drops it."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 3)
        )
        x = torch.randn(65, 4)
        model(x)
        data = torch.utils.data.TensorDataset(x)
        return Case(
            model.eval(), torch.utils.data.DataLoader(data, batch_size=16, shuffle=True, drop_last=True)
        )
