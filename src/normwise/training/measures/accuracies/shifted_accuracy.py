"""Accuracy on test images with another contrast or brightness than the training images."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from normwise.data import InOrder, LabelledData, epoch_order
from normwise.data.images.altered.light import in_mixed_light
from normwise.statistics import evaluating, using_batch_statistics
from normwise.training.evaluate import CHUNK, loss_and_accuracy

#: Contrasts, each applied to all test images; 1 leaves them unchanged.
CONTRASTS = (1.0, 0.7, 0.5, 0.35, 0.25)
#: Key of the accuracy when each image has its own random light.
MIXED = "mixed"
_SEED = 2


@torch.no_grad()
def shifted_accuracy(model: nn.Module, data: LabelledData) -> dict[str, dict[str, float]]:
    """Return the accuracy on the test images at each contrast, and with a random light for each image.

    ``running`` has the accuracies with running statistics, ``batch`` those with statistics of test batches of about
    100 shuffled images; without BN they are the same. If BN follows the first layer, a change common to all images
    has no effect on ``batch`` (apart from ε): normalising removes factor and offset.
    """
    order = epoch_order(len(data.test), seed=0, epoch=0)
    images = torch.cat([batch["images"] for batch in InOrder(data.test, CHUNK)])[order]
    labels = data.test.labels[order]
    lights: Mapping[str, Tensor] = {
        **{f"{contrast:g}": images * contrast for contrast in CONTRASTS},
        MIXED: in_mixed_light(images, _SEED),
    }

    def accuracies() -> dict[str, float]:
        pieces = max(1, len(labels) // CHUNK)
        outputs = {
            light: torch.cat([model(images=piece) for piece in lit.tensor_split(pieces)])
            for light, lit in lights.items()
        }
        return {light: loss_and_accuracy(output, labels)[1] for light, output in outputs.items()}

    with evaluating(model):
        running = accuracies()
    with using_batch_statistics(model):
        return {"running": running, "batch": accuracies()}
