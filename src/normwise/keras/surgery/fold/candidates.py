"""Layers that can take over the BN layer next to them."""

from collections import Counter
from typing import Any

from normwise.keras.surgery.batch_norms import layers_of
from normwise.keras.surgery.fold.algebra import scale_and_shift
from normwise.keras.surgery.fold.graph import Call, Graph
from normwise.keras.surgery.fold.left_error import LeftError, NoCandidateError
from normwise.keras.surgery.fold.obstacles import (
    check_axis,
    check_batch_norm,
    check_mixer,
    is_linear,
    is_transparent,
    pads_with_zeros,
)


class Candidates:
    """Candidates next to the BN layers of a model.

    Attributes:
        folded: BN calls that are folded already, which pass values unchanged.
    """

    def __init__(self, model: Any, graph: Graph) -> None:
        self.folded: set[Call] = set()
        self._graph = graph
        self._owners = Counter(
            id(weight)
            for layer in layers_of(model).values()
            for weight in (*layer._trainable_variables, *layer._non_trainable_variables)
        )

    def check(self, call: Call) -> None:
        """Check that a neighbouring layer could take over a BN layer at all.

        Raises:
            LeftError: no layer could.
        """
        self._check_called_once(call.layer, "it")
        check_batch_norm(call.layer, call)

    def before(self, call: Call) -> Call:
        """Return the call of the layer whose whole output is the BN layer's input.

        Raises:
            LeftError: there is no such layer.
        """
        value = call.x
        while True:
            found = None if value is None else self._graph.producers.get(value)
            if value is None or found is None:
                raise NoCandidateError(
                    "before it, the input of the model is not a convolution or dense layer"
                )
            users = self._graph.consumers[value]
            if not self._passes(found):
                break
            if len(users) != 1:
                raise LeftError(f"the output of {found.name} is used in {len(users)} places")
            value = found.x
        self._check_candidate(found, call, "before")
        if len(users) != 1:
            raise LeftError(f"the output of {found.name} is used in {len(users)} places")
        if not is_linear(found.layer):
            activation = getattr(found.layer.activation, "__name__", "activation")
            raise LeftError(f"the {activation} of {found.name} comes between them")
        return found

    def after(self, call: Call) -> Call:
        """Return the call of the layer whose only input is the BN layer's output.

        Raises:
            LeftError: there is no such layer.
        """
        current = call
        while True:
            users = self._graph.consumers.get(current.outputs[0], [])
            if len(users) != 1:
                raise NoCandidateError(f"its output is used in {len(users)} places")
            found = users[0]
            if found is None:
                raise NoCandidateError(
                    "behind it, the output of the model is not a convolution or dense layer"
                )
            if not self._passes(found):
                break
            current = found
        self._check_candidate(found, call, "behind")
        if getattr(call.layer, "activation", None) is not None or call.adds:
            raise LeftError(f"before {found.name} it activates or adds")
        if scale_and_shift(call.layer)[1].any() and pads_with_zeros(found.layer):
            raise LeftError(f"{found.name} pads with zeros, to which the shift is not added")
        return found

    def _passes(self, call: Call) -> bool:
        return call in self.folded or is_transparent(call.layer)

    def _check_candidate(self, found: Call, call: Call, side: str) -> None:
        try:
            check_mixer(found.layer, found.name)
        except NoCandidateError as left:
            raise NoCandidateError(f"{side} it, {left}") from None
        self._check_called_once(found.layer, found.name)
        if any(self._owners[id(weight)] > 1 for weight in found.layer.weights):
            raise LeftError(f"{found.name} shares its weights with another layer")
        check_axis(call.layer, call.rank, found.layer, found.name)
        if found.layer.compute_dtype != call.layer.compute_dtype:
            raise LeftError(
                f"it gives {call.layer.compute_dtype}, and {found.name} {found.layer.compute_dtype}"
            )

    def _check_called_once(self, layer: Any, name: str) -> None:
        if self._graph.counts[id(layer)] != 1:
            raise LeftError(f"{name} is called {self._graph.counts[id(layer)]} times")
