"""A network by name, with initial weights that depend on the seed and on nothing else."""

import inspect
import zlib
from typing import Any

import torch
from torch import Tensor, nn

from normwise.errors import ModelError
from normwise.models.images.cnn_32 import CNN32
from normwise.models.images.cnn_64 import CNN64
from normwise.models.images.conv_pair import ConvPair
from normwise.models.images.dense_bn import DenseBN
from normwise.models.images.ioffe_mlp import IoffeMLP
from normwise.models.images.mnist_cnn import MnistCNN
from normwise.models.images.plain_mlp import PlainMLP
from normwise.models.images.resnet import ResNet
from normwise.models.images.row_lstm import RowLSTM
from normwise.models.parts.norm import NormChoice
from normwise.models.sequences.sentiment_bilstm import SentimentBiLSTM
from normwise.models.sequences.speech_lstm import SpeechLSTM
from normwise.models.sequences.text_transformer import TextTransformer
from normwise.nn import BatchNormLSTM, LayerNormLSTM
from normwise.records import Task
from normwise.records.training.option_value import check_option_value
from normwise.statistics import evaluating

#: The networks for each task.
TASKS: dict[Task, dict[str, type[nn.Module]]] = {
    "image": {
        "ioffe_mlp": IoffeMLP,
        "mnist_cnn": MnistCNN,
        "dense_bn": DenseBN,
        "conv_pair": ConvPair,
        "cnn_32": CNN32,
        "cnn_64": CNN64,
        "resnet": ResNet,
        "plain_mlp": PlainMLP,
        "row_lstm": RowLSTM,
    },
    "speech": {"speech_lstm": SpeechLSTM},
    "text": {"sentiment_bilstm": SentimentBiLSTM, "text_transformer": TextTransformer},
}
MODELS: dict[str, type[nn.Module]] = {
    name: kind for of_task in TASKS.values() for name, kind in of_task.items()
}

_SCALED = (nn.Linear, nn.Conv2d)
#: Layers whose weights are drawn by the seed; norms have the same initial values for every seed.
_DRAWN = (*_SCALED, nn.LSTM, nn.Embedding, BatchNormLSTM, LayerNormLSTM)
_OWN = ("shape", "classes", "norm")


def check_name(name: str, task: Task | None) -> None:
    """Raise ModelError unless there is a network of the name, for the task where one is given."""
    known = MODELS if task is None else TASKS[task]
    if name not in known:
        kind = "" if task is None else f" for {task}"
        raise ModelError(f"unknown model {name!r}{kind}; known are {', '.join(known)}")


def build(
    name: str,
    shape: tuple[int, ...],
    classes: int,
    /,
    *,
    task: Task | None = None,
    norm: NormChoice = "batch",
    seed: int = 0,
    init_scale: float = 1.0,
    **options: Any,
) -> nn.Module:
    """Build the network ``name`` for inputs of ``shape``, with weights drawn for ``seed``.

    A layer's weights depend on the seed and the layer's path alone: networks that differ in their norm
    or in having biases start from the same weights, and the global random state is left as it was. They
    are drawn on the CPU and moved to torch's default device, so they are the same there.

    Args:
        name: Name of the network, one of :data:`MODELS`.
        shape: Channels, height, width of an image; features of a frame of speech; entries of a text's vocabulary.
        classes: Number of classes.
        task: Kind of input that the network must be for; None for any.
        norm: A name or a factory, see ``normwise.models.parts.norm`` and ``normwise.models.parts.sequence_norm``.
        seed: Seed of the weights.
        init_scale: Factor on the initial weights of all linear and convolution layers, 0 or more. Not on those of
            recurrent layers and embeddings.
        options: The network's own. A whole number is at least 1, or 0 where that is its default; a fraction is
            at least 0.

    Raises:
        ModelError: an unknown name or option, a value that the option can't have, or images that the network
            can't take.
    """
    check_name(name, task)
    if len(shape) != (3 if name in TASKS["image"] else 1):
        expected = "(C, H, W)" if name in TASKS["image"] else "one number: features of a frame, or words"
        raise ModelError(f"{name} can't be built for inputs of shape {tuple(shape)}; expected {expected}")
    parameters = inspect.signature(MODELS[name]).parameters
    defaults = {option: p.default for option, p in parameters.items() if option not in _OWN}
    defaults["init_scale"] = 1.0
    for option, value in (options | {"init_scale": init_scale}).items():
        if option not in defaults:
            raise ModelError(f"{name} has no option {option!r}; it has {', '.join(defaults)}")
        check_option_value(name, option, value, defaults[option])
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        model = _made(name, shape, classes, norm, options)
        _check_instance_norms(name, model, shape)
        for path, module in model.named_modules():
            if isinstance(module, _DRAWN):
                # Not torch.manual_seed, which reseeds the accelerators, too.
                torch.default_generator.manual_seed(zlib.crc32(f"{seed}/{path}".encode()))
                draw: Any = module.reset_parameters
                draw()
                if isinstance(module, _SCALED):
                    with torch.no_grad():
                        module.weight.mul_(init_scale)
    return model.to(torch.get_default_device())


def _made(
    name: str, shape: tuple[int, ...], classes: int, norm: NormChoice, options: dict[str, Any]
) -> nn.Module:
    try:
        return MODELS[name](shape, classes, norm=norm, **options)
    except RuntimeError as error:
        if "allocate memory" not in str(error):
            raise
        told = ", ".join(f"{option}={value!r}" for option, value in options.items()) or "these inputs"
        raise ModelError(f"{name} with {told} does not fit into memory; make it smaller") from None


def _check_instance_norms(name: str, model: nn.Module, shape: tuple[int, ...]) -> None:
    """Raise ModelError where an instance norm meets a single position, which has no variance."""
    paths: dict[nn.Module, str] = {
        layer: path for path, layer in model.named_modules() if isinstance(layer, nn.InstanceNorm2d)
    }

    def check(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0][0, 0].numel() < 2:
            raise ModelError(
                f"{name}: instance norm normalises over the positions of an image, and of {shape[1]}×{shape[2]} "
                f"pixels a single one is left at {paths[layer]}; use larger images, or 'batch', 'layer' or 'group'"
            )

    hooks = [layer.register_forward_pre_hook(check) for layer in paths]
    try:
        # How many positions are left where, only the network itself knows.
        if hooks:
            with evaluating(model), torch.no_grad():
                model(torch.zeros(1, *shape))
    finally:
        for hook in hooks:
            hook.remove()
