"""Accuracy on test images in another light than those that were trained on."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from normwise.data import InOrder, LabelledData, epoch_order
from normwise.data.images.altered.light import in_mixed_light
from normwise.statistics import evaluating, using_batch_statistics
from normwise.training.evaluate import CHUNK, loss_and_accuracy

#: Contrasts of all test images alike; 1 leaves them as they are.
CONTRASTS = (1.0, 0.7, 0.5, 0.35, 0.25)
#: Key of the accuracy where each image has a light of its own.
MIXED = "mixed"
_SEED = 2


@torch.no_grad()
def shifted_accuracy(model: nn.Module, data: LabelledData) -> dict[str, dict[str, float]]:
    """Return the accuracy on the test images at each contrast, and on images each in a light of its own.

    ``running`` with running statistics and ``batch`` with those of the test batches, of about 100 shuffled images; the
    two are the same without BN. A change that all images share has no effect on ``batch``, but for ε, where BN comes
    right behind the first layer: normalising takes factor and offset away.
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
