"""A network by name, with initial weights that depend on the seed and on nothing else."""

import inspect
import zlib
from typing import Any

import torch
from torch import nn

from normwise.errors import ModelError
from normwise.models.cnn_32 import CNN32
from normwise.models.cnn_64 import CNN64
from normwise.models.conv_pair import ConvPair
from normwise.models.dense_bn import DenseBN
from normwise.models.image_size import ImageShape
from normwise.models.ioffe_mlp import IoffeMLP
from normwise.models.mnist_cnn import MnistCNN
from normwise.models.norm import Norm
from normwise.models.resnet import ResNet

MODELS: dict[str, type[nn.Module]] = {
    "ioffe_mlp": IoffeMLP,
    "mnist_cnn": MnistCNN,
    "dense_bn": DenseBN,
    "conv_pair": ConvPair,
    "cnn_32": CNN32,
    "cnn_64": CNN64,
    "resnet": ResNet,
}


_OWN = ("shape", "classes", "norm")


def build(
    name: str,
    shape: ImageShape,
    classes: int,
    *,
    norm: Norm = "batch",
    seed: int = 0,
    init_scale: float = 1.0,
    **options: Any,
) -> nn.Module:
    """The network ``name`` for images of ``shape``, its weights drawn for ``seed``.

    A layer's weights depend on the seed and the layer's path alone: networks that differ in their norm
    or in having biases start from the same weights, and the global random state is left as it was. They
    are drawn on the CPU and moved to torch's default device, so they are the same there.

    Args:
        name: One of :data:`MODELS`.
        shape: Channels, height, width.
        classes: Number of classes.
        norm: A name or a factory, see ``normwise.models.norm``.
        seed: Of the weights.
        init_scale: Factor on the initial weights of all linear and convolution layers.
        options: The network's own.

    Raises:
        ModelError: an unknown name or option, or images that the network can't take.
    """
    if name not in MODELS:
        raise ModelError(f"unknown model {name!r}; known are {', '.join(MODELS)}")
    known = [option for option in inspect.signature(MODELS[name]).parameters if option not in _OWN]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise ModelError(f"{name} has no option {unknown[0]!r}; it has {', '.join([*known, 'init_scale'])}")
    for option, value in options.items():
        _check_type(name, option, value, inspect.signature(MODELS[name]).parameters[option].default)
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        model = MODELS[name](shape, classes, norm=norm, **options)
        for path, module in model.named_modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                # Not torch.manual_seed, which reseeds the accelerators, too.
                torch.default_generator.manual_seed(zlib.crc32(f"{seed}/{path}".encode()))
                module.reset_parameters()
                with torch.no_grad():
                    module.weight.mul_(init_scale)
    return model.to(torch.get_default_device())


def _check_type(model: str, option: str, value: Any, default: Any) -> None:
    """Raise ModelError unless the value is of the kind of the option's default."""
    # A float option takes whole numbers, too; to Python True is a number.
    kinds = (int, float) if isinstance(default, float) else (type(default),)
    if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(default, bool):
        raise ModelError(
            f"{model}: the option {option!r} takes a value like {default!r}, of type {type(default).__name__}; "
            f"got {value!r}"
        )
