"""Images of which a part is labelled wrongly for the training: a network that learns these by heart overfits."""

from dataclasses import replace

import torch

from normwise.data.images.digits import digits
from normwise.data.images.image_data import ImageData
from normwise.data.images.mnist import mnist

#: Share of the training images whose label is drawn at random from all classes.
SHARE = 0.2


def digits_with_wrong_labels() -> ImageData:
    """Return the digits with a fifth of the training labels drawn at random; the test labels are right."""
    return _mislabelled(digits())


def mnist_with_wrong_labels() -> ImageData:
    """Return MNIST with a fifth of the training labels drawn at random; the test labels are right."""
    return _mislabelled(mnist())


def _mislabelled(data: ImageData) -> ImageData:
    generator = torch.Generator().manual_seed(0)
    count = len(data.train_labels)
    drawn = torch.rand(count, generator=generator) < SHARE
    anew = torch.randint(data.num_classes, (count,), generator=generator)
    return replace(
        data, name=f"{data.name}-with-wrong-labels", train_labels=torch.where(drawn, anew, data.train_labels)
    )
