"""A hook for a training loop that checks BN layers every so many steps."""

from torch import nn
from torch.optim import Optimizer

from normwise.doctor.training.passes import before_each_pass
from normwise.doctor.training.training_check import TrainingCheck
from normwise.errors import ArgumentError
from normwise.layers import batch_norms


def check_every(n: int, model: nn.Module, optimizer: Optimizer | None = None) -> TrainingCheck:
    """Check the BN layers of a model while it trains, every n-th step, and warn once of each problem.

    Checked are what is cheap to see and costs a training: running statistics that are not finite (BN203), a layer that
    gets one value a channel, before torch raises an error (BN501), parameters that are not trained and whose statistics
    move (BN303), and statistics that are moved twice a step: by accumulated gradients (BN504), by activation
    checkpointing (BN505), by passes on different data (BN506). A warning is a
    :class:`normwise.errors.BatchNormWarning` and names the code, the layers and the fix; ``normwise explain BN504``
    tells more.

    Between checks one hook on the model looks at the size of the batch, as a small last one is checked, too, and one on
    the optimiser counts steps. The numbers of the training stay what they are, to the last bit. The model may be
    copied, saved, wrapped and put into other modes meanwhile. Compiled code calls no hooks of layers, and stays
    compiled: within it only BN203, BN303 and BN504 are checked, by what the layers hold. Pass the model that the
    training loop calls: what ``torch.compile`` or a wrapper for several processes made. Of several processes each may
    have a check, or one alone: a check sees its own process, and sends nothing to the others. What differs between them
    is found by :func:`normwise.diagnose` with a ``process_group``.

    Args:
        n: Interval of the checks, in steps of the optimiser.
        model: Any model with BN layers.
        optimizer: The optimiser that trains it. Without one, a step is a training pass of the model, and what is moved
            twice a step of the optimiser can't be seen.

    Returns:
        The check, to be closed by ``close()``, or at the end of a ``with`` block; ``problems`` has what was found.

    Raises:
        ArgumentError: n is no positive number, or the model has no BN layer.

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
    """Begin a check that is told of passes by its caller, and of the optimiser's steps by a hook on it.

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
