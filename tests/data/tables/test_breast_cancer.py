import numpy as np
import pytest
import torch

from normwise.data import load_data


def test_breast_cancer_has_its_known_form() -> None:
    data = load_data("image", "breast-cancer")
    assert data.shape == (30, 1, 1)
    assert (len(data.training), len(data.test)) == (380, 189)
    assert data.classes == ("malignant", "benign")


def test_every_sample_is_in_one_part_and_standardised_by_the_training_part() -> None:
    from sklearn.datasets import load_breast_cancer

    data = load_data("image", "breast-cancer")
    train, test = data.train_images.flatten(1).double(), data.test_images.flatten(1).double()
    torch.testing.assert_close(train.mean(0), torch.zeros(30, dtype=torch.float64), rtol=0, atol=1e-6)
    torch.testing.assert_close(
        train.std(0, correction=0), torch.ones(30, dtype=torch.float64), rtol=1e-6, atol=0
    )
    values, _ = load_breast_cancer(return_X_y=True)
    # Standardising keeps the order of the first measurement, with ties, over both parts.
    both = np.sort(torch.cat([train, test])[:, 0].numpy())
    assert np.corrcoef(both, np.sort(values[:, 0]))[0, 1] == pytest.approx(1, abs=1e-9)


def test_classes_keep_their_share() -> None:
    data = load_data("image", "breast-cancer")
    shares = [labels.double().mean().item() for labels in (data.train_labels, data.test_labels)]
    assert shares[0] == pytest.approx(shares[1], abs=0.01)
