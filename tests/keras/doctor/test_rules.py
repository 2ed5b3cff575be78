"""Every rule for Keras models: it finds its own fault, first, and the diagnosis leaves the model as it was."""

import random
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest

from normwise.keras import diagnose
from normwise.keras.doctor import Diagnosis, all_rules
from normwise.keras.untyped import ops
from tests.keras.doctor.planted.faults import FAULTS
from tests.keras.doctor.planted.statistics import foreign_epsilon, negative_variance
from tests.keras.doctor.planted.wiring import channels_first_convolution
from tests.keras.doctor.small_models import Case

_SAFE = [rule.code for rule in all_rules() if rule.safety == "safe"]


@dataclass
class Diagnosed:
    """A case, its diagnosis, and what the model had before and after it."""

    code: str
    case: Case
    diagnosis: Diagnosis
    before: list[Any]
    after: list[Any]


def exact(variable: Any) -> Any:
    return ops.cast(variable, "float32") if "float" in variable.dtype else variable


def everything_of(model: Any) -> list[Any]:
    layers = model._flatten_layers()
    return [
        *(np.asarray(ops.convert_to_numpy(exact(v))).tolist() for v in model.variables),
        [layer.trainable for layer in layers],
        [getattr(layer, "momentum", None) for layer in layers],
        ["call" in vars(layer) for layer in layers],
        random.getstate(),
        str(np.random.get_state()),  # noqa: NPY002 (the one that users draw from)
    ]


@pytest.fixture(params=FAULTS, scope="module")
def diagnosed(request: pytest.FixtureRequest) -> Diagnosed:
    keras.utils.set_random_seed(0)
    case = FAULTS[request.param]()
    before = everything_of(case.model)
    diagnosis = diagnose(case.model, case.data, **case.settings)
    return Diagnosed(request.param, case, diagnosis, before, everything_of(case.model))


def test_every_rule_has_a_model_with_its_fault() -> None:
    assert [rule.code for rule in all_rules()] == sorted(FAULTS)


def test_a_rule_finds_its_fault_and_nothing_else_of_note(diagnosed: Diagnosed) -> None:
    findings = diagnosed.diagnosis.findings
    assert diagnosed.code in {finding.code for finding in findings}
    assert {finding.code for finding in findings if finding.severity != "info"} <= {diagnosed.code}


def test_a_finding_names_its_layers_its_evidence_and_a_fix(diagnosed: Diagnosed) -> None:
    (finding,) = [each for each in diagnosed.diagnosis.findings if each.code == diagnosed.code]
    assert finding.message.endswith(".")
    assert finding.fix
    assert all(symptom.evidence or symptom.detail for symptom in finding.symptoms)
    assert finding.code in str(diagnosed.diagnosis)


def test_a_diagnosis_changes_nothing(diagnosed: Diagnosed) -> None:
    assert str(diagnosed.before) == str(diagnosed.after)  # in text, NaN is equal to NaN


def test_a_safe_fix_is_proven_by_measuring_again(diagnosed: Diagnosed) -> None:
    if diagnosed.code not in _SAFE:
        pytest.skip("its fix is not applied")
    treatment = diagnosed.diagnosis.fix()
    assert treatment.proven, treatment.reason
    again = diagnose(diagnosed.case.model, diagnosed.case.data, **diagnosed.case.settings)
    assert again.is_healthy, str(again)


@pytest.mark.parametrize(
    ("case", "code"),
    [(channels_first_convolution, "BN107"), (negative_variance, "BN203"), (foreign_epsilon, "BN205")],
)
def test_faults_that_the_numbers_and_the_graph_alone_show(case: Any, code: str) -> None:
    assert [finding.code for finding in diagnose(case().model).findings] == [code]
