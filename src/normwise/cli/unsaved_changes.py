"""Changes of a network that its state dict does not hold, so a file of weights lacks them."""

from torch import nn

from normwise.cli.wording import first_few

#: Settings of layers that affect evaluation or training.
_SETTINGS = ("momentum", "eps", "track_running_stats", "training")


def unsaved_changes(old: nn.Module, new: nn.Module) -> list[str]:
    """Return a sentence for each kind of change, such as ``"momentum=0.1 of bn1 and bn2"``.

    Args:
        old: Network before the change.
        new: Network with the same paths.
    """
    before = dict(old.named_modules())
    changed: dict[str, list[str]] = {}
    for path, module in new.named_modules():
        was = before.get(path)
        name = path or "the network"
        if was is None:
            continue
        if type(was) is not type(module):
            changed.setdefault(f"class {type(module).__name__}", []).append(name)
        for setting in _SETTINGS:
            if hasattr(was, setting) and getattr(was, setting) != (value := getattr(module, setting, None)):
                changed.setdefault(f"{setting}={value}", []).append(name)
    lines = [f"a file of weights can't hold {what} of {first_few(paths)}" for what, paths in changed.items()]
    added = [key for key in new.state_dict() if key not in old.state_dict()]
    if added:
        lines.append(f"it has {first_few(added)}, which the network as it was lacks")
    return [f"{line}: change that in your script, too" for line in lines]
