"""Evaluation of a torch model on an example, with a record of each layer's call."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence
from torch.utils import _pytree as pytree

from normwise.errors import ModelError
from normwise.functional import sequence_mask
from normwise.layers import kind_of
from normwise.porting.evaluation.call_record import CallRecord, ModelRecord
from normwise.porting.layers.torch_arrays import RECURRENT, Array, to_numpy
from normwise.porting.layers.torch_layers import TorchLayer
from normwise.statistics.preserve.preserve_model import unchanged_in_evaluation


def run_torch(model: nn.Module, layers: Sequence[TorchLayer], inputs: Sequence[Any]) -> ModelRecord:
    """Evaluate a model, and leave it unchanged, including modes and random states.

    Args:
        model: Model to evaluate.
        layers: Layers, from :func:`normwise.porting.layers.torch_layers.torch_layers`.
        inputs: Positional arguments; NumPy arrays become tensors with the model's device and dtype.

    Raises:
        ModelError: the model fails.
    """
    record = ModelRecord()
    first = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))

    def moved(value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        tensor = torch.as_tensor(value)
        tensor = tensor.to(first.dtype) if tensor.is_floating_point() else tensor.long()
        # Lengths of sequences stay on the CPU, as torch requires.
        return tensor if tensor.ndim == 1 else tensor.to(first.device)

    with unchanged_in_evaluation(model):
        handles = [
            layer.caller.register_forward_hook(partial(_note, record, layer), with_kwargs=True)
            for layer in layers
        ]
        try:
            outputs = model(*(moved(value) for value in inputs))
        except Exception as error:
            said = (str(error) or type(error).__name__).splitlines()[0]
            raise ModelError(f"the torch model fails on the example: {said}") from error
        finally:
            for handle in handles:
                handle.remove()
    record.outputs = [to_numpy(leaf) for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor)]
    return record


def _note(record: ModelRecord, layer: TorchLayer, module: Any, args: Any, kwargs: Any, output: Any) -> None:
    if id(layer) in record.calls or not args:
        return
    time_first = (
        isinstance(args[0], Tensor) and args[0].ndim == 3 and getattr(module, "batch_first", True) is False
    )
    given, real = _padded(args[0], time_first)
    if layer.caller is not layer.module or layer.kind == "layer_norm_lstm":  # our layers, which take lengths
        lengths = kwargs.get("lengths", args[1] if len(args) > 1 else None)
        if lengths is not None:
            real = sequence_mask(torch.as_tensor(lengths), given.shape[1]).cpu().numpy()
    if layer.kind in RECURRENT:
        sequences, states = output
        states = states[0] if isinstance(states, tuple) else states
        directions = 2 if module.bidirectional else 1
        last = states[layer.number * directions : (layer.number + 1) * directions]
        ended = to_numpy(last.transpose(0, 1).flatten(1)) if last.ndim == 3 else None
        # Only the outputs of the last layer within a module are known.
        whole, _ = _padded(sequences, time_first)
        shown = to_numpy(whole) if layer.is_last else None
        record.calls[id(layer)] = CallRecord(to_numpy(given), shown, last=ended, real=real)
        return
    value, _ = _padded(output, time_first)
    last_axis: Callable[[Tensor], Tensor] = lambda x: x if x.ndim < 2 else x.movedim(layer.axis, -1)  # noqa: E731
    shown = to_numpy(last_axis(value))
    found = kind_of(layer.module)
    fused = found is not None and found.activation is not None
    # Fused operations can't be separated.
    taken = CallRecord(_of_input(layer, given), None if fused else shown, shown if fused else None, real=real)
    record.calls[id(layer)] = taken


def _of_input(layer: TorchLayer, given: Tensor) -> Array:
    moved = layer.axis == 1 and given.ndim > 2
    return to_numpy(given.movedim(1, -1) if moved else given)


def _padded(value: Any, time_first: bool) -> tuple[Tensor, Array | None]:
    """Return sequences as ``(N, L, C)``, and the real positions if lengths are known."""
    if isinstance(value, PackedSequence):
        padded, lengths = pad_packed_sequence(value, batch_first=True)
        return padded, sequence_mask(lengths, padded.shape[1]).cpu().numpy()
    return (value.transpose(0, 1) if time_first else value), None
