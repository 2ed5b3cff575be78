"""Assertions for the tests of a project whose models have batch normalization."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn
from torch.distributed import ProcessGroup
from torch.optim import Optimizer

from normwise.doctor import diagnose
from normwise.records.doctor.examination_text import finding_text, headline
from normwise.statistics import Data

__all__ = ["assert_healthy"]


def assert_healthy(
    model: nn.Module,
    batch: Data | None = None,
    *,
    loss: Callable[..., Any] | None = None,
    optimizer: Optimizer | None = None,
    ignore: Iterable[str] = (),
    process_group: ProcessGroup | None = None,
    timeout: float = 300.0,
) -> None:
    """Assert that :func:`normwise.diagnose` finds neither an error nor a warning; notes pass.

    The model, the optimiser, the loss and the random states are unchanged, bit for bit.

    Args:
        model: Model with BN layers.
        batch: One or several batches, as :func:`normwise.diagnose` takes them; more batches find more. Without a
            batch, only the numbers and modes of the layers are checked.
        loss, optimizer: Loss and optimiser of the training, as :func:`normwise.diagnose` takes them.
        ignore: Rules to leave out: codes, names or beginnings of codes, such as ``"BN2"``.
        process_group, timeout: Process group and its timeout, as :func:`normwise.diagnose` takes them: all
            processes of the group assert together, and a finding in one fails in all.

    Raises:
        AssertionError: there are errors or warnings; the message lists them, with evidence and fixes.
        NormwiseError: the model can't be examined; see :func:`normwise.diagnose`.

    Example:
        >>> import torch
        >>> from normwise.testing import assert_healthy
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8, bias=False), torch.nn.BatchNorm1d(8), torch.nn.ReLU())
        >>> x = torch.randn(64, 4)
        >>> for _ in range(50):
        ...     y = model(x)
        >>> assert_healthy(model.eval(), x)
    """
    __tracebackhide__ = True  # pytest shows the line of the test
    diagnosis = diagnose(
        model,
        batch,
        loss=loss,
        optimizer=optimizer,
        ignore=ignore,
        process_group=process_group,
        timeout=timeout,
    )
    faults = [finding for finding in diagnosis.findings if finding.severity != "info"]
    if faults:
        raise AssertionError("\n\n".join([headline(diagnosis.examination), *map(finding_text, faults)]))
