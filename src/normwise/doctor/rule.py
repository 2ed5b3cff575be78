"""Base of the doctor's rules: what a rule finds, why that hurts, how it is measured and fixed, and test models."""

import ast
import inspect
import textwrap
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn
from torch.optim import Optimizer

from normwise.doctor.facts.facts import Facts, Need
from normwise.doctor.facts.processes.collect_rank_facts import collect_rank_facts
from normwise.judgement.base_rule import BaseRule
from normwise.judgement.base_rule import measured as measured
from normwise.records import RuleText, Source, Symptom
from normwise.statistics import Data


@dataclass(frozen=True)
class Case:
    """Model to try a rule on, with the other arguments of its diagnosis.

    Attributes:
        model: Model to diagnose.
        data, loss, optimizer: Arguments of :func:`normwise.diagnose`.
        ranks: Models and data of the other processes of a group in which this is rank 0; one process collects the
            facts of each in turn.
    """

    model: nn.Module
    data: Data | None = None
    loss: Callable[..., Any] | None = None
    optimizer: Optimizer | None = None
    ranks: "Sequence[Case]" = ()

    def facts(self) -> Facts:
        """Return the facts about the model, and those of the other processes."""
        facts = Facts.of_model(self.model, self.data, loss=self.loss, optimizer=self.optimizer)
        if self.ranks:
            of_all = [facts, *(case.facts() for case in self.ranks)]
            facts.ranks = tuple(collect_rank_facts(each, rank) for rank, each in enumerate(of_all))
        return facts


@dataclass(frozen=True)
class FileCase:
    """ONNX file to try a rule on.

    Attributes:
        content: Bytes of the file.
    """

    content: bytes

    def facts(self) -> Facts:
        """Return the facts about the file."""
        return Facts.of_onnx(self.content)


class Rule(BaseRule[Facts]):
    """Base of all rules. A subclass in a file of ``doctor/rules`` is found automatically; no list needs an entry.

    Attributes:
        code: Permanent code, ``BN`` and three digits; the first digit is the family.
        name: Name of the fault in kebab-case, such as ``"stale-statistics"``; the file has the same name.
        severity: Severity of a finding, unless :meth:`severity_of` returns another.
        needs: Kinds of arguments that the rule needs.
        finds, why, measured, fixed: Texts for its page: what the rule finds, why that hurts, how it is measured,
            and how it is fixed and how safe that is.
        safety: Whether :meth:`heal` can apply the fix, unless :meth:`safety_of` returns another value.
        sources: Papers and issues.
        supersedes: Codes of rules whose findings this one explains; they are dropped in layers that both found.
    """

    needs: ClassVar[tuple[Need, ...]]
    why: ClassVar[str]
    measured: ClassVar[str]
    fixed: ClassVar[str]
    sources: ClassVar[tuple[Source, ...]] = ()

    def heal(self, facts: Facts, model: nn.Module, symptoms: Sequence[Symptom]) -> str:
        """Apply a safe fix to a copy of the model, in place, and return a description.

        Args:
            facts: Facts about the original model.
            model: Copy of the model, with the same paths.
            symptoms: Symptoms of the finding, with their layers.

        Raises:
            LeftError: the fix can't be applied here; the error says why.
        """
        # Only called for rules with a safe fix, each of which test_rules.py tries.
        raise NotImplementedError(f"{self.code} has no fix that is applied")

    @abstractmethod
    def sick(self) -> Case | FileCase:
        """Return a minimal model that has the fault. Its source code is on the rule's page."""

    @abstractmethod
    def healthy(self) -> Case | FileCase:
        """Return a minimal model without the fault."""

    def text(self) -> RuleText:
        """Return the rule's texts, for explanations and pages."""
        return RuleText(
            self.code,
            self.name,
            self.severity,
            self.safety,
            self.needs,
            self.finds,
            self.why,
            self.measured,
            self.fixed,
            _body(self.sick),
            _body(self.healthy),
            self.sources,
        )


def _body(method: Callable[..., Any]) -> str:
    """Return the source code of a method's body, without its docstring."""
    source = textwrap.dedent(inspect.getsource(method))
    (function,) = ast.parse(source).body
    statements = function.body if isinstance(function, ast.FunctionDef) else [function]
    first = statements[1 if inspect.getdoc(method) else 0]
    return textwrap.dedent("\n".join(source.splitlines()[first.lineno - 1 :])).strip()
