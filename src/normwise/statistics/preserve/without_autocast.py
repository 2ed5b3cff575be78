"""Context that switches autocast off."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

#: Device types whose autocast the user may have entered around a call.
_DEVICE_TYPES = ("cpu", "cuda", "xpu", "mps")


@contextmanager
def without_autocast() -> Iterator[None]:
    """Let operators compute in the dtypes of their inputs, ignoring any surrounding autocast."""
    with ExitStack() as stack:
        for device_type in _DEVICE_TYPES:
            if torch.is_autocast_enabled(device_type):
                stack.enter_context(torch.autocast(device_type, enabled=False))
        yield
