"""Classes of new inputs, by the network of a run."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from normwise.data import input_files, prepared
from normwise.errors import DataError, NormwiseError, RunError
from normwise.files import is_file, reason
from normwise.records import InputSpec, Prediction, RunConfig
from normwise.statistics import evaluating
from normwise.training.run.folder import RunFolder
from normwise.training.run_weights import network_of_weights
from normwise.training.trained import trained_network


def predict(
    folder: Path, inputs: Sequence[str], *, progress: Callable[[int], None] | None = None
) -> tuple[Prediction, ...]:
    """Return the prediction of a run's network for each input, in order.

    Each input goes through the network on its own, so its prediction does not depend on the other inputs. (In a
    batch the last digits would, since matrices of other sizes are multiplied in another order.) Only the folder of
    the run is needed, neither its data nor its code.

    Args:
        folder: Folder of the run; or a file of weights that names its run, as ``normwise calibrate RUN`` writes it.
        inputs: Files of images or recordings, or folders of them; or texts. Images are resized to what the network
            takes.
        progress: Function that is called with the number of finished inputs.

    Raises:
        RunError: there is no run, it has no checkpoint yet, or its network's outputs are not finite.
        DataError: an input can't be read; the error names it.
    """
    config, input_spec, outputs_of = _network(folder)
    dtype = getattr(torch, config.dtype)
    found: list[Prediction] = []
    for source in (file for given in inputs for file in _files(input_spec, given)):
        batch = {
            name: tensor.to(dtype) if tensor.is_floating_point() else tensor
            for name, tensor in _prepared(input_spec, source).items()
        }
        probabilities = _probabilities(outputs_of(batch))
        if not probabilities.isfinite().all():
            raise RunError(
                f"{folder}: the network's outputs are not finite, so there is no prediction for {source}: training "
                "diverged; train again with a lower learning rate"
            )
        found.append(_prediction(source, input_spec.classes, probabilities))
        if progress is not None:
            progress(len(found))
    return tuple(found)


def _files(input_spec: InputSpec, given: str) -> list[str]:
    try:
        return input_files(input_spec, given)
    except (OSError, ValueError) as error:
        raise DataError(f"{given} can't be read: {reason(error)}") from error


def _prepared(input_spec: InputSpec, source: str) -> dict[str, Tensor]:
    try:
        return prepared(input_spec, source)
    except (OSError, ValueError) as error:  # for instance, if the name is too long
        if isinstance(error, NormwiseError):
            raise
        raise DataError(f"{source} can't be read: {reason(error)}") from error


def _network(path: Path) -> tuple[RunConfig, InputSpec, Callable[[dict[str, Tensor]], Tensor]]:
    """Return what a run was asked for, its inputs, and its trained network.

    The network is a function of a batch of one that gives its outputs, float64.
    """
    if is_file(path) and path.suffix == ".safetensors":
        described, model = network_of_weights(path)
        return described.config, described.input_spec, _outputs_of(model)
    folder = RunFolder(path)
    run, input_spec = folder.read(), folder.input_spec()
    if run.config.framework == "keras":
        from normwise.training.keras import trained_outputs

        return run.config, input_spec, trained_outputs(folder, run, input_spec)
    return run.config, input_spec, _outputs_of(trained_network(folder, run, input_spec))


def _outputs_of(model: nn.Module) -> Callable[[dict[str, Tensor]], Tensor]:

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
