"""Classes of new inputs, by the network of a run."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from normwise.data import prepared
from normwise.errors import DataError, NormwiseError, RunError
from normwise.files import reason
from normwise.records import InputSpec, Prediction, Run
from normwise.statistics import evaluating
from normwise.training.run.folder import RunFolder
from normwise.training.trained import trained_network


def predict(
    folder: Path, inputs: Sequence[str], *, progress: Callable[[int], None] | None = None
) -> tuple[Prediction, ...]:
    """Return the prediction of a run's network for each input, in order.

    Each input goes through the network on its own, so its prediction does not depend on the other inputs. (In a
    batch the last digits would, since matrices of other sizes are multiplied in another order.) Only the folder of
    the run is needed, neither its data nor its code.

    Args:
        folder: Folder of the run.
        inputs: Image files, recordings, or texts.
        progress: Function that is called with the number of finished inputs.

    Raises:
        RunError: there is no run, it has no checkpoint yet, or its network's outputs are not finite.
        DataError: an input can't be read; the error names it.
    """
    run = RunFolder(folder)
    record, input_spec = run.read(), run.input_spec()
    outputs_of = _network(run, record, input_spec)
    dtype = getattr(torch, record.config.dtype)
    found: list[Prediction] = []
    for source in inputs:
        batch = {
            name: tensor.to(dtype) if tensor.is_floating_point() else tensor
            for name, tensor in _prepared(input_spec, source).items()
        }
        probabilities = _probabilities(outputs_of(batch))
        if not probabilities.isfinite().all():
            raise RunError(
                f"{folder}: the network's outputs are not finite, so it says nothing of {source}: training diverged; "
                "train again with a lower learning rate"
            )
        found.append(_prediction(source, input_spec.classes, probabilities))
        if progress is not None:
            progress(len(found))
    return tuple(found)


def _prepared(input_spec: InputSpec, source: str) -> dict[str, Tensor]:
    try:
        return prepared(input_spec, source)
    except (OSError, ValueError) as error:  # for instance, if the name is too long
        if isinstance(error, NormwiseError):
            raise
        raise DataError(f"{source} can't be read: {reason(error)}") from error


def _network(folder: RunFolder, run: Run, input_spec: InputSpec) -> Callable[[dict[str, Tensor]], Tensor]:
    """Return the trained network as a function from a batch of one to its outputs, float64."""
    if run.config.framework == "keras":
        from normwise.training.keras import trained_outputs

        return trained_outputs(folder, run, input_spec)
    model = trained_network(folder, run, input_spec)

    @torch.no_grad()
    def outputs_of(batch: dict[str, Tensor]) -> Tensor:
        with evaluating(model):
            return model(**batch)[0].double()

    return outputs_of


def _probabilities(outputs: Tensor) -> Tensor:
    """Return probabilities (classes,), float64; a single output is the logit of the second of two classes."""
    if len(outputs) == 1:
        # Both by a sigmoid: 1 - p would lose the digits of a small probability.
        return torch.sigmoid(torch.cat([-outputs, outputs]))
    return outputs.softmax(0)


def _prediction(source: str, classes: tuple[str, ...], probabilities: Tensor) -> Prediction:
    of_class = dict(zip(classes, probabilities.tolist(), strict=True))
    label = classes[int(probabilities.argmax())]
    return Prediction(source, label, of_class[label], of_class)
