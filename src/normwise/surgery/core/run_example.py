"""One forward pass on the example."""

from typing import Any

from torch import nn

from normwise.errors import ModelError
from normwise.surgery.core.example_arguments import Arguments, copied


def run_example(
    model: nn.Module, arguments: Arguments, fails: str = "the model fails on the example: {error}"
) -> Any:
    """Call a model, in its current mode, on copies of the example's arguments.

    Args:
        model: Model to call.
        arguments: Arguments of the example.
        fails: Error text; ``{error}`` stands for the reason.

    Raises:
        ModelError: the model fails on the example.
    """
    args, kwargs = copied(arguments)
    try:
        return model(*args, **kwargs)
    except ModelError:  # raised by a hook of surgery
        raise
    except Exception as error:
        raise ModelError(fails.format(error=error)) from error
