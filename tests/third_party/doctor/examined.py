"""A model of another library as the doctor sees it, with random weights and random inputs."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import normwise
from normwise.records import Examination

from ..libraries import load
from ..running import Batch
from ..specimen import Specimen

#: "as built": new statistics, in evaluation. "measured": those of the data, in evaluation. "training": the same in
#: training mode, with a loss and an optimiser.
State = Literal["as built", "measured", "training"]
STATES: tuple[State, ...] = ("as built", "measured", "training")
#: Enough samples for the statistics of layers that get one value a sample and channel.
SAMPLES, BATCHES = 16, 4


def examined(specimen: Specimen, state: State) -> Examination:
    """Examine a model in a state.

    Raises:
        ImportError: the specimen's library does not import.
    """
    library = load(specimen.library)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = specimen.build(library).eval()
        batches = [specimen.batch(SAMPLES) for _ in range(BATCHES)]
        if state == "as built":
            return normwise.diagnose(model, batches).examination
        normwise.calibrate(model, batches, order="training", include_frozen=True)
        if state == "measured":
            return normwise.diagnose(model, batches).examination
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
        classifies = _gives_scores(model, batches[0])
        model.train()
        if classifies:
            labelled = [(batch, torch.randint(5, (SAMPLES,))) for batch in batches]
            loss = nn.CrossEntropyLoss()
            return normwise.diagnose(model, labelled, loss=loss, optimizer=optimizer).examination
        return normwise.diagnose(model, batches, loss=_distance_from_one, optimizer=optimizer).examination


def notable(examination: Examination) -> set[str]:
    """Return the codes of errors and warnings."""
    return {finding.code for finding in examination.findings if finding.severity != "info"}


def _gives_scores(model: nn.Module, batch: Batch) -> bool:
    """Return whether the model gives a tensor of scores for a tensor of images."""
    if not isinstance(batch, Tensor):
        return False
    with torch.no_grad():
        output = model(batch)
    return isinstance(output, Tensor) and output.dim() == 2


def _distance_from_one(model: nn.Module, batch: Batch) -> Tensor:
    """Return a loss for whatever a model gives."""
    outputs = model(**batch) if isinstance(batch, dict) else model(batch)
    floating = [
        leaf for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor) and leaf.is_floating_point()
    ]
    return torch.stack([(output - 1).square().mean() for output in floating]).sum()
