"""BN5xx: Keras models with batches that are too small."""

from keras import layers as L

from tests.keras.doctor.small_models import Case, dense, norm, samples, trained


def one_value_per_channel() -> Case:
    x, y = samples(33, 4), samples(33, 3)
    model = trained(dense(norm(), L.ReLU()), x)
    batches = [(x[start : start + 16], y[start : start + 16]) for start in (0, 16, 32)]
    return Case(model, batches, {"loss": "mse"})


def tiny_last_batch() -> Case:
    import torch

    x = samples(66, 4)
    model = trained(dense(norm(), L.ReLU()), x)
    data = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.zeros(66, 3))
    return Case(model, torch.utils.data.DataLoader(data, batch_size=16, shuffle=True))


def noisy_statistics() -> Case:
    x, y = samples(16, 4), samples(16, 3)
    model = trained(dense(norm(), L.ReLU()), x)
    batches = [(x[start : start + 2], y[start : start + 2]) for start in range(0, 16, 2)]
    return Case(model, batches, {"loss": "mse"})
