"""Check of BN layers at regular steps of a training loop."""

from torch import nn
from torch.optim import Optimizer

from normwise.doctor.training.passes import before_each_pass
from normwise.doctor.training.training_check import TrainingCheck
from normwise.errors import ArgumentError
from normwise.layers import batch_norms


def check_every(n: int, model: nn.Module, optimizer: Optimizer | None = None) -> TrainingCheck:
    """Check the BN layers of a model during training, every n-th step, and warn once of each problem.

    It checks for faults that are cheap to find and ruin a training: running statistics that are not finite (BN203);
    a layer that gets one value per channel, before torch raises an error (BN501); layers with untrained parameters
    whose statistics change (BN303); and statistics that are updated twice per step by accumulated gradients
    (BN504), activation checkpointing (BN505) or passes on different data (BN506). A warning is a
    :class:`normwise.errors.BatchNormWarning` and names the code, the layers and the fix; see ``normwise explain
    BN504`` for details.

    Between checks one hook on the model reads the size of the batch, since a small last batch is checked, too, and
    one hook on the optimiser counts steps. The numbers of the training do not change, bit for bit. The model may be
    copied, saved, wrapped and put into other modes during the check. Compiled code calls no hooks of layers, and
    stays compiled: within it only BN203, BN303 and BN504 are checked, from the layers' buffers. Pass the model that
    the training loop calls: the result of ``torch.compile`` or a wrapper for several processes. With several
    processes, one or each may have a check: a check sees its own process, and sends nothing to the others. To find
    differences between processes, use :func:`normwise.diagnose` with a ``process_group``.

    Args:
        n: Interval of the checks, in steps of the optimiser.
        model: Model with BN layers.
        optimizer: Optimiser that trains the model. Without it, a step is a training pass of the model, and updates
            that happen twice per step of the optimiser can't be detected.

    Returns:
        The check, to be closed by ``close()`` or at the end of a ``with`` block; ``problems`` has the problems
        found.

    Raises:
        ArgumentError: n is not a positive number, or the model has no BN layer.

    Example:
        >>> import torch, normwise
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8))
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> with normwise.doctor.check_every(100, model, optimizer) as check:
        ...     for _ in range(3):
        ...         optimizer.zero_grad()
        ...         model(torch.randn(16, 4)).square().sum().backward()
        ...         optimizer.step()
        >>> check.steps, check.problems
        (3, {})
    """
    check = begin_check(n, model, optimizer)
    check.stop_with(before_each_pass(model, check.begin_pass))
    return check


def begin_check(n: int, model: nn.Module, optimizer: Optimizer | None) -> TrainingCheck:
    """Start a check whose caller reports passes, with a hook on the optimiser that reports steps.

    Raises:
        ArgumentError: as :func:`check_every` does.
    """
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ArgumentError(f"expected a number of steps from 1 on as n, got {n!r}")
    if not isinstance(model, nn.Module):
        raise ArgumentError(f"expected a torch.nn.Module as the model, got {type(model).__name__}")
    if not batch_norms(model):
        raise ArgumentError(f"{type(model).__name__} has no BN layer, so there is nothing to check")
    if optimizer is not None and not callable(getattr(optimizer, "register_step_post_hook", None)):
        raise ArgumentError(
            f"expected an optimiser of torch.optim as optimizer, got {type(optimizer).__name__}; pass the inner one of "
            "a wrapper, or none"
        )
    check = TrainingCheck(n, model, optimizer)
    if optimizer is not None:
        check.stop_with(optimizer.register_step_post_hook(check.end_step).remove)
    return check
