"""Table of all measures by name: those of every evaluation, and those of the end of a run."""

from collections.abc import Callable
from typing import Any

from torch import nn

from normwise.data import LabelledData
from normwise.errors import ArgumentError
from normwise.records import Task
from normwise.training.measures.accuracies.gain import gain_accuracy
from normwise.training.measures.accuracies.padding import padded_accuracy
from normwise.training.measures.accuracies.recomputed_accuracy import recomputed_accuracy
from normwise.training.measures.accuracies.shifted_accuracy import shifted_accuracy
from normwise.training.measures.activations.activation_percentiles import activation_percentiles
from normwise.training.measures.activations.input_percentiles import input_percentiles
from normwise.training.measures.activations.kept_variance import kept_variance
from normwise.training.measures.activations.moments import moments
from normwise.training.measures.cost import cost
from normwise.training.measures.gradients.bias_gradient import bias_gradient
from normwise.training.measures.gradients.gradient_by_layer import gradient_by_layer
from normwise.training.measures.gradients.gradient_turn import gradient_turn
from normwise.training.measures.identities.batch_dependence import batch_dependence
from normwise.training.measures.identities.epsilon_sign import epsilon_sign
from normwise.training.measures.identities.merged_bias import merged_bias
from normwise.training.measures.identities.statistics_recurrence import statistics_recurrence

Measure = Callable[[nn.Module, LabelledData], Any]

#: Measured at every evaluation, into ``Point.measured``.
AT_EVERY_POINT: dict[str, Measure] = {
    "input_percentiles": input_percentiles,
    "gradient_by_layer": gradient_by_layer,
    "activation_percentiles": activation_percentiles,
}
#: Measured after the last step, into ``Result.measured``.
AT_THE_END: dict[str, Measure] = {
    "recomputed_accuracy": recomputed_accuracy,
    "batch_dependence": batch_dependence,
    "bias_gradient": bias_gradient,
    "padded_accuracy": padded_accuracy,
    "moments": moments,
    "merged_bias": merged_bias,
    "statistics_recurrence": statistics_recurrence,
    "epsilon_sign": epsilon_sign,
    "shifted_accuracy": shifted_accuracy,
    "kept_variance": kept_variance,
    "cost": cost,
    "gain_accuracy": gain_accuracy,
    "gradient_turn": gradient_turn,
}


def check_measures(names: tuple[str, ...], task: Task) -> None:
    """Raise ArgumentError unless every name is a measure that is possible for the task."""
    known = [*AT_EVERY_POINT, *AT_THE_END]
    for name in names:
        if name not in known:
            raise ArgumentError(f"unknown measure {name!r}; known are {', '.join(known)}")
    if task != "speech" and "gain_accuracy" in names:
        raise ArgumentError("the measure 'gain_accuracy' is for speech, which has a loudness")
    if task == "image" and "padded_accuracy" in names:
        raise ArgumentError("the measure 'padded_accuracy' is for sequences, and images are not padded")
    if task != "image" and "shifted_accuracy" in names:
        raise ArgumentError(
            f"the measure 'shifted_accuracy' is for images, whose light it changes, and not for {task}"
        )
