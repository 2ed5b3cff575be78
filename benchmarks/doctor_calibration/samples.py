"""Images that the models are trained on: digits, and MNIST where it is found."""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from normwise.data import digits, mnist
from normwise.errors import NormwiseError

#: Images to train on: whole batches of each size that is used.
_TRAINING = {"digits": 1280, "mnist": 5120}
_TEST = {"digits": 480, "mnist": 960}


@dataclass(frozen=True, eq=False)
class Samples:
    """Images with labels, to train on and to test on."""

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor


@cache
def samples(name: str) -> Samples:
    """Return the images of a data set, in an order that is always the same."""
    data = {"digits": digits, "mnist": mnist}[name]()
    order = torch.randperm(len(data.train_labels), generator=torch.Generator().manual_seed(0))
    train, test = order[: _TRAINING[name]], slice(0, _TEST[name])
    return Samples(
        data.train_images[train], data.train_labels[train], data.test_images[test], data.test_labels[test]
    )


@cache
def has_mnist() -> bool:
    """Return whether MNIST is found."""
    try:
        mnist()
    except NormwiseError:
        return False
    return True
