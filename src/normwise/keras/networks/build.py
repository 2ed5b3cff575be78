"""Networks by name, with initial weights that depend only on the seed."""

import inspect
import random
from collections.abc import Callable
from typing import Any

import keras

from normwise.errors import ModelError
from normwise.keras.networks.cnn_32 import cnn_32
from normwise.keras.networks.cnn_64 import cnn_64
from normwise.keras.networks.conv_pair import conv_pair
from normwise.keras.networks.dense_bn import dense_bn
from normwise.keras.networks.mnist_cnn import mnist_cnn
from normwise.keras.networks.parts.norm import WITHIN, NormChoice, norm_factory
from normwise.keras.networks.row_lstm import row_lstm
from normwise.keras.networks.sentiment_bilstm import sentiment_bilstm
from normwise.keras.networks.speech_lstm import speech_lstm
from normwise.records import Task
from normwise.records.training.option_value import check_option_value

#: Networks for each task.
TASKS: dict[Task, dict[str, Callable[..., keras.Model]]] = {
    "image": {
        "mnist_cnn": mnist_cnn,
        "dense_bn": dense_bn,
        "conv_pair": conv_pair,
        "cnn_32": cnn_32,
        "cnn_64": cnn_64,
        "row_lstm": row_lstm,
    },
    "speech": {"speech_lstm": speech_lstm},
    "text": {"sentiment_bilstm": sentiment_bilstm},
}
NETWORKS = {name: network for of_task in TASKS.values() for name, network in of_task.items()}

_OWN = ("shape", "classes", "norm", "logits")


def check_name(name: str, task: Task | None) -> None:
    """Raise ModelError unless there is a network of the name, for the task if one is given."""
    known = NETWORKS if task is None else TASKS[task]
    if name not in known:
        kind = "" if task is None else f" for {task}"
        raise ModelError(f"unknown model {name!r}{kind} in Keras; known are {', '.join(known)}")


def build(
    name: str,
    shape: tuple[int, ...],
    classes: int,
    /,
    *,
    task: Task | None = None,
    norm: NormChoice = "batch",
    seed: int = 0,
    momentum: float = 0.99,
    logits: bool = False,
    **options: Any,
) -> keras.Model:
    """Return the network ``name`` for inputs of ``shape``, its weights drawn for ``seed``.

    Two networks that differ in the norm between their layers have the same initial weights. The random state of
    Python, which Keras seeds from, is unchanged.

    Args:
        name: Name of the network, one of :data:`NETWORKS`.
        shape: Shape of the inputs: height, width, channels of an image; features of a frame of speech; entries of a
            text's vocabulary.
        classes: Number of classes.
        task: Kind of input that the network must be for; None for any.
        norm: Name or factory of the norm, see ``normwise.keras.networks.parts.norm``.
        seed: Seed of the weights and of dropout.
        momentum: Momentum of batch normalization, the weight of the old average.
        logits: Whether the output is before the softmax or sigmoid.
        options: Options of the network.

    Raises:
        ModelError: the name or an option is unknown, an option has an invalid value, or the network can't take such
            images.
    """
    check_name(name, task)
    if len(shape) != (3 if name in TASKS["image"] else 1):
        expected = "(H, W, C)" if name in TASKS["image"] else "one number: features of a frame, or words"
        raise ModelError(f"{name} can't be built for inputs of shape {tuple(shape)}; expected {expected}")
    parameters = inspect.signature(NETWORKS[name]).parameters
    defaults = {option: p.default for option, p in parameters.items() if option not in _OWN}
    for option, value in options.items():
        if option not in defaults:
            raise ModelError(f"{name} has no option {option!r}; it has {', '.join([*defaults, 'momentum'])}")
        check_option_value(name, option, value, defaults[option])
    if isinstance(momentum, bool) or not isinstance(momentum, (int, float)) or not 0 <= momentum < 1:
        raise ModelError(
            f"{name}: momentum is the weight of what was, at least 0 and below 1; got {momentum!r}"
        )
    if not callable(norm) and norm not in (WITHIN, "layer"):
        norm = norm_factory(norm, float(momentum))
    # Initializers and dropout without a seed draw theirs from Python's generator.
    state = random.getstate()
    try:
        random.seed(seed)
        return NETWORKS[name](shape, classes, norm=norm, logits=logits, **options)
    finally:
        random.setstate(state)
