"""BN502: a last batch that is far smaller than the others."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.data.small_batches import values_of_smallest_batch
from normwise.doctor.facts.facts import Facts
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Severity, Source, Symptom

#: Share of the usual batch below which a last batch is tiny.
_TINY = 0.25


class TinyLastBatch(Rule):
    """A last batch that is far smaller than the others."""

    code = "BN502"
    name = "tiny-last-batch"
    severity = "warning"
    needs = ("data",)
    finds = "A last batch of an epoch that has less than a quarter of the usual number of samples and is not dropped."
    why = (
        "The running statistics give each batch the same weight, also the leftover one, which is the last before "
        "evaluation: with momentum 0.1 a tenth of the running statistics comes from a few samples. The step is noisy "
        "as well: two values per channel are normalised to ±1, whatever they are."
    )
    measured = (
        "The size of the last batch follows from the length of the loader's sampler, its batch size and drop_last, "
        "or from the data if all of them were read. It is a warning if the data are probably training data: the "
        "loader shuffles, an optimiser is given, or the model is in training mode."
    )
    fixed = "Pass drop_last=True to the training loader, or use a batch size that leaves a larger last batch."
    safety = "manual"
    sources = (
        Source("braindecode pull request 411", "", "https://github.com/braindecode/braindecode/pull/411"),
        Source("fastai issue 2416", "", "https://github.com/fastai/fastai/issues/2416"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the model where the last batch is tiny, and no layer gets one value per channel from it."""
        batches = facts.batches
        last, usual = batches.last_size, batches.usual_size
        if not last or last >= _TINY * usual:
            return
        layers = values_of_smallest_batch(facts)
        if not layers or any(found.values <= 1 for found in layers.values()):
            return
        fewest = min(layers, key=lambda path: layers[path].values)
        momentum = next((norm.momentum for norm in facts.norms.values() if norm.layer_path == fewest), None)
        evidence = [
            measured("samples in the last batch", last),
            measured("in the usual batch", usual),
            measured(f"values per channel in {fewest or 'the model'}", layers[fewest].values),
        ]
        if isinstance(momentum, float):
            evidence.append(measured("its weight in the running statistics", 100 * momentum, "%"))
        yield Symptom("", "", tuple(evidence), badness=usual / last)

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return "info" for data that only evaluation is known to read."""
        return "warning" if facts.data_are_for_training else "info"

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare the sizes."""
        last, usual = (int(number.value) for number in symptoms[0].evidence[:2])
        return (
            f"The last batch has {last} of usually {usual} samples, and counts as much as any other in the running "
            "statistics."
        )

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Drop it."""
        return "loader = torch.utils.data.DataLoader(dataset, batch_size=..., shuffle=True, drop_last=True)"

    def sick(self) -> Case:
        """Return 66 samples in batches of 16: the last one has 2."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 3)
        )
        x = torch.randn(66, 4)
        model(x)
        data = torch.utils.data.TensorDataset(x)
        return Case(model.eval(), torch.utils.data.DataLoader(data, batch_size=16, shuffle=True))

    def healthy(self) -> Case:
        """Return a loader that drops it."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 3)
        )
        x = torch.randn(66, 4)
        model(x)
        data = torch.utils.data.TensorDataset(x)
        return Case(
            model.eval(), torch.utils.data.DataLoader(data, batch_size=16, shuffle=True, drop_last=True)
        )
