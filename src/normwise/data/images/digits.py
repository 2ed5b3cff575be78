"""The handwritten digits that scikit-learn carries: a data set that is always there."""

import numpy as np
import torch

from normwise.data.images.image_data import ImageData
from normwise.extras import needs_extra

_TEST_COUNT = 500
_SPLIT_SEED = 0
_BRIGHTEST = 16


def digits() -> ImageData:
    """Return 1,797 grey 8×8 images of ten digits: 1,297 for training and 500 for the test.

    The split keeps each digit's share, and it and the order of the images are the same in every call.
    The images are the test part of the UCI set "Optical Recognition of Handwritten Digits" (Alpaydin
    and Kaynak, 1998), as bundled with scikit-learn; nothing is downloaded.
    """
    # Takes about a second, which no other data set should have to wait for.
    with needs_extra("study", "the data set digits"):
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=_TEST_COUNT, stratify=labels, random_state=_SPLIT_SEED
    )
    images = torch.tensor(pixels / _BRIGHTEST, dtype=torch.float32).reshape(-1, 1, 8, 8)
    targets = torch.tensor(labels, dtype=torch.int64)
    return ImageData(
        name="digits",
        train_images=images[train],
        train_labels=targets[train],
        test_images=images[test],
        test_labels=targets[test],
        classes=tuple(str(digit) for digit in range(10)),
    )
