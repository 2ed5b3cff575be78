"""Export of a model to ONNX, checked against torch."""

import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from normwise.errors import ArgumentError, ModelError
from normwise.extras import needs_extra
from normwise.files import is_there, write_whole
from normwise.layers import kind_of_norm, layers_with_statistics
from normwise.layers.reasons import GIVE_STATISTICS, NO_STATISTICS
from normwise.statistics import Batch
from normwise.statistics.preserve.preserve_model import unchanged
from normwise.statistics.preserve.without_autocast import without_autocast
from normwise.surgery.core.check_model import check_model
from normwise.surgery.core.example_arguments import Arguments, copied, example_arguments
from normwise.surgery.core.run_example import run_example
from normwise.surgery.proof.digits import epsilon_of_computation, epsilon_of_parameters
from normwise.surgery.proof.distance import largest_difference
from normwise.surgery.proof.rounding import in_double, rounding
from normwise.surgery.proof.run_model import Gradients, tensors_of


def export_onnx(
    model: nn.Module,
    example: Batch,
    path: Path | str,
    *,
    tolerance: float | None = None,
    force: bool = False,
) -> float:
    """Write the model as an ONNX file that onnxruntime computes like torch, or write none.

    The first size of each tensor, the number of samples, is dynamic if the model allows it. Autocast around the
    call is off: the file computes in the dtypes of the parameters.

    Args:
        model: Model in evaluation mode: a BN layer in training would be exported as one that normalises by batch
            statistics.
        example: One batch: the input, a tuple or list whose first item is the input, or a dict of keyword
            arguments; keys that forward has no argument for, such as ``labels``, are left out.
        path: File to write.
        tolerance: Largest difference of outputs, relative to the largest output; by default half the digits of the
            model's dtype.
        force: Overwrite an existing file.

    Returns:
        The largest difference on the example, relative to the largest output.

    Raises:
        ArgumentError: the file exists already.
        MissingPackageError: a package of the extra ``onnx`` is not installed.
        ModelError: a BN layer would normalise by batch statistics, the model fails on the example or can't be
            exported (for example, it has more than 2 GB), or onnxruntime computes other outputs.
        RunError: the file can't be written.
    """
    path = Path(path)
    if is_there(path) and not force:
        raise ArgumentError(
            f"{path} is there already; choose another name, or pass force=True to overwrite it"
        )
    runtime = _runtime()
    check_model(model)
    _check_batch_norm(model)
    arguments = example_arguments(model, example)
    with unchanged(model), torch.no_grad(), without_autocast():
        model.eval()
        expected = tensors_of(run_example(model, arguments))
        content = _exported(model, copied(arguments))
        got = _computed(runtime, content, tensors_of(arguments))
        error = largest_difference([value.cpu() for value in expected], got)
        allowed = rounding(model) if tolerance is None else tolerance
        if error > allowed and tolerance is None:
            error = min(error, _error_in_float64(model, arguments, got))
    if not error <= allowed:
        raise ModelError(
            f"onnxruntime's outputs differ from torch's by {error:.1e} of the largest, and {allowed:.1e} is allowed; "
            f"{path} was not written"
        )
    write_whole(path, content)
    return error


def _error_in_float64(model: nn.Module, arguments: Arguments, got: Sequence[Tensor]) -> float:
    """Return the distance of onnxruntime's outputs from those in float64, if torch computes with fewer digits."""
    if epsilon_of_computation(model, False, arguments) <= epsilon_of_parameters(model):
        return math.inf
    exact = in_double(model, False, arguments, Gradients.NONE)
    return math.inf if exact is None else largest_difference([value.cpu() for value in exact[0]], got)


def _runtime() -> Any:
    with needs_extra("onnx", "an export to ONNX"):
        import onnx  # noqa: F401 (torch's exporter imports it)
        import onnxruntime
        import onnxscript  # noqa: F401 (torch's exporter imports it)
    return onnxruntime


def _check_batch_norm(model: nn.Module) -> None:
    for path, layer in layers_with_statistics(model).items():
        name = f"{type(layer).__name__} {path!r}"
        if layer.training:
            raise ModelError(
                f"{name} is in training, and would be exported as a layer that normalises each batch by its own "
                "statistics; call model.eval() first"
            )
        if not kind_of_norm(layer).has_statistics:
            raise ModelError(
                f"{name} {NO_STATISTICS}, and would be exported as a layer that normalises each batch by its own; "
                f"{GIVE_STATISTICS}"
            )


def _exported(model: nn.Module, arguments: Arguments) -> bytes:
    args, kwargs = arguments
    open_batch = tuple(map(_open_batch, args)) or {name: _open_batch(value) for name, value in kwargs.items()}
    with _quiet():
        try:
            # Not left to the exporter, which may fall back to a trace if this fails (torch 2.8): only the
            # example's path through the model.
            exported = torch.export.export(model, args, kwargs, dynamic_shapes=open_batch, strict=False)
            program = torch.onnx.export(exported, dynamo=True, verbose=False)
            return cast("torch.onnx.ONNXProgram", program).model_proto.SerializeToString()
        except Exception as error:
            cause: BaseException = error
            while cause.__cause__ is not None:
                cause = cause.__cause__
            reason = (str(cause) or type(cause).__name__).splitlines()[0]
            raise ModelError(f"the model can't be exported to ONNX: {reason}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's messages about its internals, which the user can't act on."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _open_batch(argument: Any) -> Any:
    """Return the dynamic sizes: the first of each tensor, unless the model fixes it."""
    return pytree.tree_map(
        lambda value: {0: torch.export.Dim.AUTO} if isinstance(value, Tensor) and value.dim() else None,
        argument,
    )


def _computed(runtime: Any, content: bytes, inputs: Sequence[Tensor]) -> list[Tensor]:
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        names = [value.name for value in session.get_inputs()]
        feed: Mapping[str, Any] = {
            name: value.detach().cpu().numpy() for name, value in zip(names, inputs, strict=True)
        }
        return [torch.as_tensor(output) for output in session.run(None, feed)]
    except Exception as error:
        raise ModelError(f"onnxruntime can't compute the exported model: {error}") from error
