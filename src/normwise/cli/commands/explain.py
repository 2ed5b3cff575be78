"""``normwise explain``: print the text of a rule of the doctor, or of a claim."""

from typing import TYPE_CHECKING, Annotated

import typer

from normwise.cli.terminal import show
from normwise.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from normwise.doctor import Rule
    from normwise.records import Source
    from normwise.studies import Claim

_SAFETY = {
    "safe": "The fix is safe: normwise doctor --fix applies it and proves it.",
    "unsafe": "The fix is unsafe: it changes training or the structure, so apply it yourself.",
    "manual": "The fix is manual: make it in your own script.",
}


def explain(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A rule of the doctor, by code or name, such as BN201; the beginning of codes, such as BN2; or a "
            "claim, such as fewer_steps.",
        ),
    ],
) -> None:
    """Explain a rule of the doctor (what it finds, why that hurts, how it is measured and fixed), or a claim.

    For a claim: who makes it, how it is tested, what would falsify it, and its sources.

    Example: normwise explain BN201, or normwise explain small_batches
    """
    rules = _rules(name)
    wanted = name.strip().lower()
    if len(rules) == 1 and wanted in (rules[0].code.lower(), rules[0].name):
        _show_rule(rules[0])
    elif rules:
        show(*(f"{rule.code} {rule.name}: {rule.finds}" for rule in rules), sep="\n")
    else:
        _show_claim(name)


def _rules(name: str) -> "Sequence[Rule]":
    """Return the rules of a name; none if the name has underscores, as only claims do."""
    from normwise.doctor import all_rules, rules_named

    is_code = name.strip().upper().startswith("BN")
    return rules_named((name,)) if is_code or name in {rule.name for rule in all_rules()} else ()


def _show_rule(rule: "Rule") -> None:
    text = rule.text()
    title = f"{text.code} {text.name} ({text.severity})"
    needs = f"Needs: {', '.join(text.needs)}."
    _show(
        title,
        ("Finds", (text.finds,)),
        ("Why it hurts", (text.why,)),
        ("How it is measured", (text.measured, needs)),
        ("How it is fixed", (text.fixed, _SAFETY[text.safety])),
        ("A sick model", text.sick.splitlines()),
        ("A healthy one", text.healthy.splitlines()),
        ("Sources", _sources(text.sources)),
    )


def _show_claim(name: str) -> None:
    from normwise.studies import claims_named, preset_named
    from normwise.studies.claim import COMMON_RULE

    try:
        (found,) = claims_named((name,))
    except ArgumentError as error:
        raise ArgumentError(f"{error}. Rules of the doctor have codes, such as BN201") from None
    revised = f" Revised: {found.revised}" if found.revised else ""
    _show(
        found.statement.en,
        ("In Chinese", (found.statement.zh,)),
        ("Who says so", _says(found)),
        ("Would be false if", (found.falsifier,)),
        ("Verdict", (found.rule, COMMON_RULE, f"The rule is of {found.dated}.{revised}")),
        *((f"{size.capitalize()} protocol", found.protocol(preset_named(size))) for size in found.presets),
        ("Sources", _sources(found.sources)),
    )


def _says(claim: "Claim") -> list[str]:
    said = [f"Tutorial {saying.tutorial}, {saying.section}" for saying in claim.says]
    return said or ["No tutorial: the claim is ours."]


def _sources(sources: "Sequence[Source]") -> list[str]:
    return [
        f"{', '.join(part for part in (source.work, source.section) if part)}. {source.url}"
        for source in sources
    ]


def _show(title: str, *parts: "tuple[str, Sequence[str]]") -> None:
    from rich.text import Text

    lines = [Text(title, style="bold")]
    for heading, texts in parts:
        lines += [Text(f"\n{heading}", style="bold"), *map(Text, texts)]
    show(*lines, sep="\n")
