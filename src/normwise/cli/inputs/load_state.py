"""Loading of a state dict into its network, with one error that says why it does not fit."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present
from torch.nn.parameter import is_lazy

from normwise.cli.terminal import complain
from normwise.cli.wording import first_few
from normwise.errors import ModelError
from normwise.layers import kind_of

#: Prefixes that DataParallel and AveragedModel, torch.compile, and modules of Lightning add to each key.
_WRAPPERS = ("module.", "_orig_mod.", "model.")
_AVERAGED = "n_averaged"
_COUNTER = "num_batches_tracked"
_STATISTICS = ("running_mean", "running_var")


def load_state(model: nn.Module, state: dict[str, Any], source: str, network: str) -> tuple[str, ...]:
    """Load a state dict into a model. Consumes ``state``; the model's tensors adopt its dtypes.

    Prefixes of wrappers are stripped from the keys. Batch counters may be missing, as in checkpoints from before
    torch 0.4.1 (https://github.com/pytorch/pytorch/issues/8430), and so may all keys but one of a tied tensor.

    Args:
        model: Network to load into.
        state: State dict, as :func:`normwise.cli.inputs.state_file.read_state` returns it.
        source: Name of the state dict in the error.
        network: Name of the network in the error.

    Returns:
        Paths of the BN layers whose running statistics are missing; these layers keep their own.

    Raises:
        ModelError: another key is missing or unexpected, or a shape differs.
    """
    own: dict[str, Any] = model.state_dict(keep_vars=True)
    _unwrap(state, own)
    _take_types(own, state)
    present = {id(own[key]) for key in own if key in state}
    unlike = [fault for key, value in own.items() if (fault := _unlike(key, value, state.get(key)))]
    try:
        if unlike:  # torch would convert some of these silently, or print ten lines
            raise RuntimeError("\n".join(["", *unlike]))
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        # Its first line is a title.
        faults = [line.strip().rstrip(".") for line in str(error).splitlines()[1:]]
    else:
        statistics, missing = _statistics_among(missing, model)
        missing = [key for key in missing if id(own.get(key)) not in present]
        faults = [f"it lacks {first_few(missing)}"] if missing else []
        faults += [f"it has {first_few(unexpected)}, which the network lacks"] if unexpected else []
        if not faults:
            return statistics
    raise ModelError(
        f"{source} does not fit {network}: {first_few(faults, '; ')}. "
        "Name by --model the network that it was saved from"
    )


def _unwrap(state: dict[str, Any], own: Mapping[str, Any]) -> None:
    """Strip the prefixes of wrappers from the keys, unless the network is such a wrapper itself.

    A network that is an attribute of a larger one, as in modules of Lightning, is found by its keys, which are all
    below one name; what else the larger one has is left out.
    """
    if _AVERAGED not in own and all(key.startswith(_WRAPPERS[0]) for key in state if key != _AVERAGED):
        state.pop(_AVERAGED, None)
    while found := [
        prefix
        for prefix in _WRAPPERS
        if all(key.startswith(prefix) for key in state) and not any(key.startswith(prefix) for key in own)
    ]:
        consume_prefix_in_state_dict_if_present(state, found[0])
    if prefix := _prefix_of(state, own):
        left = [key for key in state if not key.startswith(prefix)]
        for key in left:
            del state[key]
        consume_prefix_in_state_dict_if_present(state, prefix)
        if left:
            complain(f"besides the weights below {prefix[:-1]}, {first_few(left)} are left out", title="note")


def _prefix_of(state: Mapping[str, Any], own: Mapping[str, Any]) -> str | None:
    """Return the only prefix under which a state dict has all weights of the network; None if there is none.

    Raises:
        ModelError: there are several such prefixes.
    """
    needed = [key for key in own if key.rpartition(".")[2] not in (*_STATISTICS, _COUNTER)]
    if not needed or any(key in state for key in needed):
        return None
    first = needed[0]
    prefixes = [key.removesuffix(first) for key in state if key.endswith(f".{first}")]
    found = [prefix for prefix in prefixes if all(f"{prefix}{key}" in state for key in needed)]
    if len(found) > 1:
        names = " and ".join(prefix[:-1] for prefix in found)
        raise ModelError(
            f"the checkpoint has such weights below {names}; choose by --weights {found[0][:-1]}"
        )
    return found[0] if found else None


def _take_types(own: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Cast the network's floating tensors to the dtypes of the state dict, which loading would convert instead."""
    for key, value in own.items():
        given = state.get(key)
        if not isinstance(value, Tensor) or not isinstance(given, Tensor) or is_lazy(value):
            continue
        if value.is_floating_point() and given.is_floating_point() and value.dtype != given.dtype:
            value.data = value.data.to(given.dtype)


def _unlike(key: str, own: Any, given: Any) -> str | None:
    """Return why a tensor can't replace the network's without a loss; None if it can."""
    if not isinstance(own, Tensor) or not isinstance(given, Tensor) or is_lazy(own):
        return None
    if given.is_meta:
        return f"{key} is on the meta device and has no values"
    if given.layout != own.layout or given.is_quantized != own.is_quantized:
        return f"{key} is {_described(given)}, and the network's is {_described(own)}"
    if given.is_complex() != own.is_complex() or (own.is_floating_point() and not given.is_floating_point()):
        return f"{key} is of {given.dtype}, and the network's of {own.dtype}"
    return None


def _described(tensor: Tensor) -> str:
    return "quantized" if tensor.is_quantized else str(tensor.layout).removeprefix("torch.")


def _statistics_among(missing: Iterable[str], model: nn.Module) -> tuple[tuple[str, ...], list[str]]:
    """Return the BN layers without running statistics, and the missing keys that are not statistics of a BN layer."""
    # Under each path of a layer that has several.
    kinds = {path: kind_of(module) for path, module in model.named_modules(remove_duplicate=False)}
    layers = {path for path, kind in kinds.items() if kind is not None and kind.family == "batch"}
    without: dict[str, None] = {}
    others = []
    for key in missing:
        path, _, name = key.rpartition(".")
        if path not in layers or name not in (*_STATISTICS, _COUNTER):
            others.append(key)
        elif name in _STATISTICS:
            without[path] = None
    return tuple(without), others
