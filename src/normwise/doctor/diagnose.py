"""Diagnosis of a model."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import nn
from torch.distributed import ProcessGroup
from torch.optim import Optimizer

from normwise.doctor.diagnosis import Diagnosis
from normwise.doctor.examine_together import examine_together
from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.processes.meeting import Meeting
from normwise.doctor.find_rules import rules_named
from normwise.doctor.rule import Rule
from normwise.errors import ArgumentError
from normwise.records import SEVERITIES, Severity
from normwise.statistics import Data


def diagnose(
    model: nn.Module,
    data: Data | None = None,
    *,
    loss: Callable[..., Any] | None = None,
    optimizer: Optimizer | None = None,
    max_batches: int = 20,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    severities: Mapping[str, Severity] | None = None,
    name: str = "",
    process_group: ProcessGroup | None = None,
    timeout: float = 300.0,
) -> Diagnosis:
    """Find what is wrong with the batch normalization of a model, with evidence and a fix for each finding.

    The more you give, the more it finds. The model alone has numbers and modes; data allow three evaluation passes
    over the batches (with running statistics, those of each batch, and exact ones) and one training step; a loss
    shows the cost of each fault; the optimiser shows which parameters it trains. Everything is unchanged bit for
    bit, also after an exception: parameters, buffers, gradients, modes, hooks, the optimiser's state and the random
    states.

    **Several processes.** Without a ``process_group`` this process diagnoses alone: it waits for no other process,
    since synchronised layers use their own batch during the diagnosis. With a process group, all its processes make
    the same call, each with its copy of the model and its own data, and all get the union of the findings. Only
    then the rules that compare processes are applied. All processes must then also call ``fix()``.

    Args:
        model: Model with BN layers: torch's, ours, subclasses, or known layers of other libraries.
        data: Batches, as for :func:`normwise.calibrate`; batches of ``(input, target)`` or dicts with ``labels``
            also give the accuracy. They are read once.
        loss: Function ``loss(output, target)``, such as ``torch.nn.CrossEntropyLoss()``; or ``loss(model, batch)``,
            recognised by the name of its first argument, which calls the model itself, as often as training does.
        optimizer: Optimiser that trains the model.
        max_batches: Largest number of batches to read.
        select, ignore: Rules to apply, and to leave out: codes, names or beginnings of codes, such as ``"BN2"``.
        severities: Severities of rules by code, instead of their own.
        name: Name of the model in the report; its class by default.
        process_group: Processes that diagnose together, such as ``torch.distributed.group.WORLD``. None means this
            process alone, and so does ``WORLD`` before ``init_process_group``.
        timeout: Seconds that a process waits for the others of the group.

    Returns:
        A diagnosis with the findings, worst first. ``print`` it, read ``findings`` and ``is_healthy``, or call
        ``fix()``.

    Raises:
        ArgumentError: an argument is not as above, there are no batches, or there is no rule of that name.
        ModelError: there is no BN layer, or the model fails on the data and no finding says why.
        DataError: the data raise an exception.
        DistributedError: a process of the group did not arrive in time, failed, or diagnoses something else; the
            error names it.

    Example:
        >>> import torch, normwise
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU()).eval()
        >>> diagnosis = normwise.diagnose(model, torch.randn(64, 4) * 5 + 3)
        >>> [finding.code for finding in diagnosis.findings][0], diagnosis.is_healthy
        ('BN202', False)
    """
    if max_batches < 1:
        raise ArgumentError(f"max_batches must be at least 1, got {max_batches}")
    rules = chosen_rules(select, ignore)
    checked = checked_severities(severities or {})
    meeting = None if process_group is None else Meeting(process_group, timeout)

    def facts_of() -> Facts:
        return Facts.of_model(model, data, loss=loss, optimizer=optimizer, max_batches=max_batches, name=name)

    facts, examination = examine_together(facts_of, rules, checked, meeting)
    return Diagnosis(facts, rules, examination, checked)


def chosen_rules(select: Iterable[str], ignore: Iterable[str]) -> tuple[Rule, ...]:
    """Return the rules that are selected and not ignored.

    Raises:
        ArgumentError: there is no rule of that name, or no rule is left.
    """
    ignored = {rule.code for rule in rules_named(tuple(ignore))} if tuple(ignore) else set()
    chosen = tuple(rule for rule in rules_named(tuple(select)) if rule.code not in ignored)
    if not chosen:
        raise ArgumentError("every rule that is selected is ignored as well, so there is nothing to check")
    return chosen


def checked_severities(severities: Mapping[str, Any]) -> dict[str, Severity]:
    """Return severities by code, for keys that are codes, names or beginnings of codes.

    Raises:
        ArgumentError: there is no rule of that name, or no such severity.
    """
    found: dict[str, Severity] = {}
    for name, severity in severities.items():
        if severity not in SEVERITIES:
            raise ArgumentError(
                f"{severity!r} is not a severity of {name}; expected one of {', '.join(SEVERITIES)}"
            )
        found |= {rule.code: severity for rule in rules_named((name,))}
    return found
