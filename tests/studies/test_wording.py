"""Sentences with the numbers of several cases."""

from normwise.records import Bilingual, Case, Effect, Verdict
from normwise.studies.wording import of_each, verdict_first


def _case(name: str, estimate: float, unit: str = "percentage points", *, exact: bool = False) -> Case:
    effect = Effect("effect", unit, estimate, estimate - 1, estimate + 1, 0.95, 5)
    return Case(name, Bilingual(name, f"{name}网"), "dense", effect, 1.0, "open", exact=exact)


def test_a_few_cases_have_each_its_number_and_interval() -> None:
    few = of_each([_case("one", 3.0), _case("two", 2.0)])
    assert few.en == "+3.0 points (+2.0 to +4.0) for one, +2.0 points (+1.0 to +3.0) for two"


def test_of_many_cases_only_the_ends_are_said() -> None:
    many = of_each([_case(name, value) for name, value in zip("abcd", (3.0, 1.0, 2.0, 7.0), strict=True)])
    assert many == Bilingual(
        "+1.0 points for b up to +7.0 points for d", "从 b网的 +1.0 个百分点，到 d网的 +7.0 个百分点"
    )


def test_cases_on_two_scales_are_all_said() -> None:
    mixed = of_each([_case("a", 2.0, "times"), *(_case(name, 1.0) for name in "bcd")])
    assert mixed.en.count(" for ") == 4


def test_identities_are_all_said() -> None:
    assert (
        of_each([_case(name, 0.0, exact=True) for name in "abcd"]).en.count("no difference beyond rounding")
        == 4
    )


def test_the_verdict_comes_first() -> None:
    said: dict[Verdict, Bilingual] = {"depends": Bilingual("It depends.", "视情况而定。")}
    found = verdict_first(
        "depends", said, Bilingual("Steps", "步数"), [_case("a", 2.0, "times"), _case("b", 4.0, "times")]
    )
    assert found.en == "It depends. Steps: 2 times for a; 4 times for b."
    assert found.zh == "视情况而定。步数：a网 2 倍；b网 4 倍。"
    assert verdict_first(
        "undecided", said, Bilingual("Steps", "步数"), [_case("a", 2.0, "times")]
    ).en.startswith("Not decided.")
