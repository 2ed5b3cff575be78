"""Diagnosis of a Keras model."""

from collections.abc import Iterable, Mapping
from typing import Any

from normwise.errors import ArgumentError
from normwise.keras.doctor.diagnosis import Diagnosis
from normwise.keras.doctor.examine import examine
from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.find_rules import chosen_rules
from normwise.records import SEVERITIES, Severity


def diagnose(
    model: Any,
    data: Any = None,
    *,
    loss: Any = None,
    max_batches: int = 20,
    batch_size: int | None = None,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    severities: Mapping[str, Severity] | None = None,
    name: str = "",
) -> Diagnosis:
    """Find what is wrong with the batch normalization of a Keras model, with evidence and a fix for each finding.

    The rules are those of :func:`normwise.diagnose` for torch models that need only numbers and configuration, with
    the same codes. With the model alone they read its numbers, its settings and, if it has one, its graph. With
    data they also evaluate it three times on the batches (with moving statistics, with those of each batch, and
    with exact ones), and call it once in training mode. Everything is unchanged, also after an exception: weights,
    moving statistics, seeds, ``trainable``, the compiled step, the optimizer and the random states.

    Args:
        model: Built model with BN layers, Keras's own or :class:`normwise.keras.BatchNormalization`: Functional,
            Sequential, subclassed or nested. Rules about the wiring work only on the first two.
        data: Arrays ``x``, ``(x, y)`` or ``(x, y, weights)``, as ``fit`` takes them, which are cut into batches; or
            batches: a list, a generator, a ``tf.data.Dataset``, a ``keras.utils.PyDataset``, a DataLoader. With
            targets the accuracy is known, too. They are read once.
        loss: Name of a Keras loss, or a function ``loss(targets, outputs)``; it implies that the data are training
            data. The default is the loss of ``compile``, if there is a single one.
        max_batches: Largest number of batches to read.
        batch_size: Number of samples per batch that is cut from arrays, as given to ``fit``; None for 32, which no
            rule judges, since the user did not choose it.
        select, ignore: Rules to apply, and to leave out: codes, names or beginnings of codes, such as ``"BN2"``.
        severities: Severities of rules by code, instead of their own.
        name: Name of the model in the report; its class by default.

    Returns:
        A diagnosis with the findings, worst first. ``print`` it, read ``findings`` and ``is_healthy``, or call
        ``fix()``.

    Raises:
        ArgumentError: an argument is not as above, there are no batches, or there is no rule of that name.
        ModelError: there is no BN layer, the model has no weights yet, or it fails on the data and no finding says why.
        DataError: the data raise an exception.

    Example:
        >>> import keras, numpy as np, normwise.keras
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), keras.layers.BatchNormalization()])
        >>> diagnosis = normwise.keras.diagnose(model, 5 * np.random.default_rng(0).normal(size=(64, 4)) + 3)
        >>> [finding.code for finding in diagnosis.findings]
        ['BN101', 'BN202']
    """
    for label, value in (("max_batches", max_batches), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise ArgumentError(f"{label} must be at least 1, got {value}")
    rules = chosen_rules(select, ignore)
    checked: dict[str, Severity] = {}
    for key, severity in (severities or {}).items():
        if severity not in SEVERITIES:
            raise ArgumentError(
                f"{severity!r} is not a severity of {key}; expected one of {', '.join(SEVERITIES)}"
            )
        checked |= {rule.code: severity for rule in chosen_rules((key,), ())}
    facts = Facts(model, data, loss=loss, max_batches=max_batches, batch_size=batch_size, name=name)
    return Diagnosis(facts, rules, examine(facts, rules, checked), checked)
