"""Attributes of layers that copies share and that can't be pickled, such as process groups."""

from typing import Any


class Shared:
    """Holder of an object: a copy holds the same object, and a pickled holder holds none.

    Args:
        value: Object to hold.
    """

    def __init__(self, value: Any = None) -> None:
        self.value = value

    def __deepcopy__(self, memo: dict[int, Any]) -> "Shared":
        return Shared(self.value)

    def __reduce__(self) -> tuple[type["Shared"], tuple[()]]:
        return Shared, ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shared) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)
