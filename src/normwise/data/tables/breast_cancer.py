"""Measurements of breast tumours that scikit-learn carries: real medical data that is always there."""

from typing import Any

import torch

from normwise.data.images.image_data import ImageData
from normwise.data.stratified_split import stratified
from normwise.extras import needs_extra

#: One in this number of samples of each class is for the test.
_TEST_SHARE = 3


def breast_cancer() -> ImageData:
    """Return 30 measurements of each of 569 tumours, malignant or benign: 380 to train on and 189 to test on.

    Each is an image of 30 channels and a single pixel, ``(30, 1, 1)``, so that networks for images take it. The values
    are standardised, with the mean and the standard deviation of the training part: networks without BN need that.

    Reference: Street, Wolberg & Mangasarian 1993, Nuclear feature extraction for breast tumor diagnosis (the UCI set
    "Breast Cancer Wisconsin (Diagnostic)"), as bundled with scikit-learn; nothing is downloaded.
    """
    # Takes about a second, which no other data set should have to wait for.
    with needs_extra("study", "the data set breast-cancer"):
        from sklearn.datasets import load_breast_cancer

    bunch: Any = load_breast_cancer()
    values, labels = torch.tensor(bunch["data"]), torch.tensor(bunch["target"], dtype=torch.int64)
    train, test = stratified(labels.tolist(), share=_TEST_SHARE)
    deviation, mean = torch.std_mean(values[train], dim=0, correction=0)
    images = ((values - mean) / deviation).to(torch.float32)[:, :, None, None]
    return ImageData(
        name="breast-cancer",
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
        classes=tuple(str(name) for name in bunch["target_names"]),
        standardised=True,
    )
