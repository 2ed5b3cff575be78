"""A rule of the doctor: what it finds, why that hurts, how it is measured and mended, and models to try it on."""

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
    """A model to try a rule on, with what it is diagnosed with.

    Attributes:
        model: The model.
        data, loss, optimizer: As :func:`normwise.diagnose` takes them.
        ranks: Models and data of the other processes of a group, of which this is rank 0; in one process each is asked
            for its facts in turn.
    """

    model: nn.Module
    data: Data | None = None
    loss: Callable[..., Any] | None = None
    optimizer: Optimizer | None = None
    ranks: "Sequence[Case]" = ()

    def facts(self) -> Facts:
        """Return the facts about it, and those of the other processes."""
        facts = Facts.of_model(self.model, self.data, loss=self.loss, optimizer=self.optimizer)
        if self.ranks:
            of_all = [facts, *(case.facts() for case in self.ranks)]
            facts.ranks = tuple(collect_rank_facts(each, rank) for rank, each in enumerate(of_all))
        return facts


@dataclass(frozen=True)
class FileCase:
    """An ONNX file to try a rule on.

    Attributes:
        content: Bytes of the file.
    """

    content: bytes

    def facts(self) -> Facts:
        """Return the facts about it."""
        return Facts.of_onnx(self.content)


class Rule(BaseRule[Facts]):
    """A rule. A subclass in a file of ``doctor/rules`` is found by that; nothing central is edited to add one.

    Attributes:
        code: Permanent code, ``BN`` and three digits; the first says the family.
        name: Name in kebab-case that reads as what is wrong, such as ``"stale-statistics"``; the file is called so.
        severity: How much a finding matters, where :meth:`severity_of` does not say otherwise.
        needs: What it has to be given.
        finds, why, measured, fixed: Text for its page: what it finds, why that hurts, how it is measured, and how it
            is fixed and how safe that is.
        safety: Whether the fix can be applied by :meth:`heal`, where :meth:`safety_of` does not say otherwise.
        sources: Papers and issues.
        supersedes: Codes of rules whose findings this one explains: in the layers that both found, theirs are dropped.
    """

    needs: ClassVar[tuple[Need, ...]]
    why: ClassVar[str]
    measured: ClassVar[str]
    fixed: ClassVar[str]
    sources: ClassVar[tuple[Source, ...]] = ()

    def heal(self, facts: Facts, model: nn.Module, symptoms: Sequence[Symptom]) -> str:
        """Apply a safe fix to a copy of the model, in place, and return what was done.

        Args:
            facts: Facts about the model as it was.
            model: The copy; its modules have the same paths.
            symptoms: The places.

        Raises:
            LeftError: it can't be applied here; says why.
        """
        # Only rules with a safe fix are asked, and test_rules.py tries each of those.
        raise NotImplementedError(f"{self.code} has no fix that is applied")

    @abstractmethod
    def sick(self) -> Case | FileCase:
        """Return a minimal model that has it. Its source code is in the rule's page."""

    @abstractmethod
    def healthy(self) -> Case | FileCase:
        """Return a minimal model that does not have it."""

    def text(self) -> RuleText:
        """Return its text, for explanations and pages."""
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
    """Return the source code in a method, without its first line and its docstring."""
    source = textwrap.dedent(inspect.getsource(method))
    (function,) = ast.parse(source).body
    statements = function.body if isinstance(function, ast.FunctionDef) else [function]
    first = statements[1 if inspect.getdoc(method) else 0]
    return textwrap.dedent("\n".join(source.splitlines()[first.lineno - 1 :])).strip()
