"""Observation of the tensors that BN layers normalise, which may differ from their inputs."""

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch._ops import OpOverloadPacket
from torch.overrides import TorchFunctionMode

from normwise import kernels
from normwise.layers import input_of_call, kind_of_norm
from normwise.layers.functions import ARGUMENTS, BY_BATCH
from normwise.layers.statistics_slot import mean_of_call


class Call(NamedTuple):
    """One normalising call.

    Attributes:
        values: Values that are normalised, ``(N, C, *)``.
        mask: Mask ``(N, *)``, True where a position is real; None if all are.
        running_mean: Running mean that was passed; None if only batch statistics are used.
        training: Whether the call normalises by the batch.
        momentum: Weight of the batch in the running statistics; None for their plain average.
    """

    values: Tensor
    mask: Tensor | None
    running_mean: Tensor | None
    training: bool
    momentum: float | Tensor | None = 0.1


#: Function that is called before a layer normalises; returns whether the call uses the layer's own
#: statistics.
Look = Callable[[nn.Module, Call], bool]
#: Function that is called after a forward pass in which ``look`` never returned True, with the layer, its
#: forward, the arguments and the output; returns the output to use.
Unseen = Callable[[nn.Module, Callable[..., Any], tuple[Any, ...], dict[str, Any], Any], Any]


def observe(layer: nn.Module, look: Look, unseen: Unseen) -> Callable[[], None]:
    """Call ``look`` before each normalisation of the layer; return a function that ends that.

    Torch's layers and ours normalise their first argument. A layer with its own forward may call its base class's
    forward with other arguments, several times or never; so its calls of ``batch_norm`` are intercepted.
    """
    if kind_of_norm(layer).forward_of is not None:
        return layer.register_forward_pre_hook(partial(look_at_input, look), with_kwargs=True).remove
    own = vars(layer).get("forward")
    vars(layer)["forward"] = _Observed(layer, look, unseen)

    def end() -> None:
        if own is None:
            vars(layer).pop("forward", None)
        else:
            vars(layer)["forward"] = own

    return end


def look_at_input(look: Look, layer: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Call ``look`` with the first argument, which torch's layers and ours normalise."""
    if (x := input_of_call(args, kwargs)) is None:
        return  # forward itself will raise
    mean = mean_of_call(layer, args, kwargs)
    momentum = getattr(layer, "momentum", 0.1)
    look(layer, Call(x, kwargs.get("mask"), mean, layer.training or mean is None, momentum))


class _Observed:
    """Observed forward of a layer; in copies and pickles of the layer it is the plain forward."""

    def __init__(self, layer: nn.Module, look: Look, unseen: Unseen):
        self._layer, self._look, self._unseen = layer, look, unseen
        self._forward: Callable[..., Any] = layer.forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        calls = _Calls(self._layer, self._look)
        with calls:
            output = self._forward(*args, **kwargs)
        return output if calls.seen else self._unseen(self._layer, self._forward, args, kwargs, output)

    def __deepcopy__(self, memo: dict[int, Any]) -> Callable[..., Any]:
        return copy.deepcopy(self._forward, memo)

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self._forward,)


def _itself(forward: Callable[..., Any]) -> Callable[..., Any]:
    return forward


class _Calls(TorchFunctionMode):
    """Interception of calls of ``batch_norm`` within a layer's forward pass.

    Attributes:
        seen: Whether a call normalised by the layer's own statistics.
    """

    def __init__(self, layer: nn.Module, look: Look):
        super().__init__()
        self.seen = False
        self._layer, self._look = layer, look

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        called = func.default if isinstance(func, OpOverloadPacket) else func
        names = ARGUMENTS.get(called)
        call = None
        if called is kernels.batch_norm:
            ours: kernels.Call = args[0]
            call = Call(ours.x, ours.mask, ours.running_mean, ours.training, ours.momentum)
        elif names is not None:
            given = dict(zip(names, args, strict=False)) | kwargs
            x = given.get("input", given.get("x"))
            if isinstance(x, Tensor):
                training = bool(given.get("training", called in BY_BATCH))
                momentum = given.get("momentum", 0.1)
                call = Call(x, given.get("mask"), given.get("running_mean"), training, momentum)
        if call is not None:
            self.seen = self._look(self._layer, call) or self.seen
        return func(*args, **kwargs)
