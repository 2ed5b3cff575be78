"""All operations on models, called in one way."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

import normwise
from normwise.surgery import remove_biases

Example = Any


@dataclass(frozen=True)
class Operation:
    """One operation on a model.

    Attributes:
        name: For the test's name.
        call: Runs it: ``new, report = call(model, example, **options)``.
        in_place: Whether it always changes the model itself.
        keeps_outputs: Whether the outputs in evaluation stay what they were.
        keeps_keys: Whether the keys of the ``state_dict`` stay what they were.
    """

    name: str
    call: Callable[..., tuple[nn.Module, Any]]
    in_place: bool = False
    keeps_outputs: bool = True
    keeps_keys: bool = True


def _insert(model: nn.Module, example: Example, **options: Any) -> Any:
    return normwise.insert(model, example, data=[example], **options)


def _convert(to: str) -> Callable[..., Any]:
    return lambda model, example, **options: normwise.convert(model, to, example=example, **options)


def _convert_blindly(model: nn.Module, example: Example, **options: Any) -> Any:
    return normwise.convert(model, "group", **options)


def _freeze(model: nn.Module, example: Example) -> Any:
    return model, normwise.freeze(model)


def _calibrate(model: nn.Module, example: Example) -> Any:
    return model, normwise.calibrate(model, [example])


OPERATIONS = [
    Operation("accelerate", normwise.accelerate),
    Operation("fold", normwise.fold, keeps_keys=False),
    Operation("insert", _insert, keeps_keys=False),
    Operation("remove_biases", remove_biases, keeps_keys=False),
    Operation("convert to batch", _convert("batch")),
    Operation("convert to torch", _convert("torch")),
    Operation("convert to frozen", _convert("frozen")),
    Operation("convert to group", _convert("group"), keeps_outputs=False, keeps_keys=False),
    Operation("convert without example", _convert_blindly, keeps_outputs=False, keeps_keys=False),
    Operation("freeze", _freeze, in_place=True),
    Operation("calibrate", _calibrate, in_place=True, keeps_outputs=False),
]
