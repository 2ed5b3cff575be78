"""Examination by one process, or by all of a group together."""

from collections.abc import Callable, Mapping, Sequence

from normwise.doctor.examine import examine
from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.processes.collect_rank_facts import collect_rank_facts
from normwise.doctor.facts.processes.meeting import Meeting
from normwise.doctor.facts.processes.rank_facts import RankFacts, check_alike
from normwise.doctor.merge_examinations import merge_examinations
from normwise.doctor.rule import Rule
from normwise.records import Examination, Severity

DIAGNOSE, EXAMINE = "diagnose a model", "apply the rules"


def examine_together(
    facts_of: Callable[[], Facts],
    rules: Sequence[Rule],
    severities: Mapping[str, Severity] | None = None,
    meeting: Meeting | None = None,
) -> tuple[Facts, Examination]:
    """Apply rules in this process, or in all processes of a group, which then have the same findings.

    The processes always exchange data twice, whatever each of them finds: first their facts, then their findings.

    Args:
        facts_of: Function that makes the facts of this process.
        rules: Rules to apply.
        severities: Severities of some rules by code, instead of their own.
        meeting: Meetings of the processes; None for this process alone.

    Raises:
        NormwiseError: as :func:`examine` does.
        DistributedError: a process did not arrive, failed, or examines something else.
    """
    if meeting is None:
        facts = facts_of()
        return facts, examine(facts, rules, severities)
    held: list[Facts] = []
    codes = tuple(rule.code for rule in rules)

    def tell() -> RankFacts:
        held.append(facts_of())
        return collect_rank_facts(held[0], meeting.rank, codes)

    ranks = tuple(meeting.gather(DIAGNOSE, tell))
    check_alike(ranks)
    facts = held[0]
    facts.meeting, facts.ranks = meeting, ranks
    found = meeting.gather(EXAMINE, lambda: examine(facts, rules, severities))
    return facts, merge_examinations(found, meeting.ranks)
