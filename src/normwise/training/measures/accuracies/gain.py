"""Accuracy of a network for speech where the test recordings are louder or quieter."""

import torch
from torch import nn

from normwise.data import InOrder, LabelledData
from normwise.data.speech.speech_features import amplified
from normwise.errors import ArgumentError
from normwise.statistics import evaluating
from normwise.training.evaluate import CHUNK, loss_and_accuracy

#: Factors on the waves of the test set.
GAINS = (0.1, 0.3, 1.0, 3.0, 10.0)


@torch.no_grad()
def gain_accuracy(model: nn.Module, data: LabelledData) -> dict[str, float]:
    """Test accuracy with running statistics, by the gain that all test recordings are played at.

    Raises:
        ArgumentError: the features don't tell how loud a recording is.
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
