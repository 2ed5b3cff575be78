"""Modes of the modules of a model, as it was given and as ``eval()`` and ``train()`` leave them."""

from dataclasses import dataclass

from torch import nn

from normwise.layers import batch_norms
from normwise.statistics.preserve.preserve_model import unchanged


@dataclass(frozen=True)
class Modes:
    """Modes of a model and of its BN layers.

    Attributes:
        model: Whether the model was given in training mode.
        given: Whether each module was given in training mode, by path.
        stuck_in_training: Paths of the BN layers that ``model.eval()`` leaves in training mode.
        stuck_in_evaluation: Paths of those that ``model.train()`` leaves in evaluation mode, other than frozen ones.
    """

    model: bool
    given: dict[str, bool]
    stuck_in_training: tuple[str, ...]
    stuck_in_evaluation: tuple[str, ...]


def modes_of(model: nn.Module) -> Modes:
    """Return the modes of a model, which is left as it is."""
    given = {path: module.training for path, module in model.named_modules()}
    kinds = {
        path: kind for path, kind in batch_norms(model).items() if kind.learns_statistics and not kind.frozen
    }
    with unchanged(model, parameters=False):
        model.eval()
        in_training = tuple(path for path, kind in kinds.items() if kind.layer.training)
        model.train()
        in_evaluation = tuple(path for path, kind in kinds.items() if not kind.layer.training)
    return Modes(model.training, given, in_training, in_evaluation)
