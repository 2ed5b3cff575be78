"""Accuracy of a network for speech on louder and quieter test recordings."""

import torch
from torch import nn

from normwise.data import InOrder, LabelledData
from normwise.data.speech.speech_features import amplified
from normwise.errors import ArgumentError
from normwise.statistics import evaluating
from normwise.training.evaluate import CHUNK, loss_and_accuracy

#: Factors that the test waves are multiplied by.
GAINS = (0.1, 0.3, 1.0, 3.0, 10.0)


@torch.no_grad()
def gain_accuracy(model: nn.Module, data: LabelledData) -> dict[str, float]:
    """Return the test accuracy with running statistics for each gain of all test recordings.

    Raises:
        ArgumentError: the features do not show how loud a recording is.
    """
    if not data.input_spec.loudness:
        raise ArgumentError(
            "the measure 'gain_accuracy' needs features that tell loudness; give the data the option loudness=True"
        )

    def accuracy(gain: float) -> float:
        batches = InOrder(data.test, CHUNK)
        outputs = torch.cat(
            [model(**batch | {"sequences": amplified(batch["sequences"], gain)}) for batch in batches]
        )
        return loss_and_accuracy(outputs, data.test.labels)[1]

    with evaluating(model):
        return {f"{gain:g}": accuracy(gain) for gain in GAINS}
