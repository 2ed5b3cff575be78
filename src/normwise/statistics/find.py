"""Which layers of a model are batch normalization."""

from torch import nn


def batch_norm_layers(model: nn.Module) -> dict[str, nn.modules.batchnorm._BatchNorm]:
    """Path and layer of each BN in the model, torch's and ours, each once."""
    return {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
    }
