"""Modes of the modules of a model, as given and after ``eval()`` and ``train()``."""

from dataclasses import dataclass

from torch import nn

from normwise.layers import LayerKind, batch_norms
from normwise.statistics.preserve.preserve_model import unchanged


@dataclass(frozen=True)
class Modes:
    """Modes of a model and of its BN layers with running statistics that are not frozen.

    Attributes:
        model: Whether the model was given in training mode.
        given: Whether each module was given in training mode, by path.
        in_training, in_evaluation: Paths of the BN layers that were given in either mode.
        stuck_in_training: Paths of the BN layers that ``model.eval()`` leaves in training mode.
        stuck_in_evaluation: Paths of those that ``model.train()`` leaves in evaluation mode.
        left_in_evaluation: Paths of the BN layers that were given in evaluation mode, in a model in training,
            without a visible reason: others are in training, their parameters are trained, and ``model.train()``
            changes their mode.
    """

    model: bool
    given: dict[str, bool]
    in_training: tuple[str, ...]
    in_evaluation: tuple[str, ...]
    stuck_in_training: tuple[str, ...]
    stuck_in_evaluation: tuple[str, ...]
    left_in_evaluation: tuple[str, ...]


def modes_of(model: nn.Module) -> Modes:
    """Return the modes of a model, and leave it unchanged."""
    given = {path: bool(getattr(module, "training", False)) for path, module in model.named_modules()}
    kinds = {
        path: kind
        for path, kind in batch_norms(model).items()
        if kind.learns_statistics and kind.has_statistics and not kind.frozen
    }
    if not kinds:
        return Modes(given[""], given, (), (), (), (), ())
    with unchanged(model, parameters=False):
        model.eval()
        stuck_in_training = tuple(path for path, kind in kinds.items() if kind.layer.training)
        model.train()
        stuck_in_evaluation = tuple(path for path, kind in kinds.items() if not kind.layer.training)
    in_training = tuple(path for path in kinds if given[path])
    in_evaluation = tuple(path for path in kinds if not given[path])
    left = [path for path in in_evaluation if path not in stuck_in_evaluation and _is_trained(kinds[path])]
    return Modes(
        given[""],
        given,
        in_training,
        in_evaluation,
        stuck_in_training,
        stuck_in_evaluation,
        tuple(left) if given[""] and in_training else (),
    )


def _is_trained(kind: LayerKind) -> bool:
    return any(parameter.requires_grad for parameter in kind.layer.parameters())
