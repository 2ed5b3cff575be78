"""Bytes that a synchronised layer sends in two processes, against the formulas of docs/processes/scaling.md."""

import torch
import torch.distributed as dist
from torch import nn

from benchmarks.synchronisation.scaling_model import backward_bytes, forward_bytes, resnet50
from benchmarks.synchronisation.wire import counted, sent
from normwise.nn import SyncBatchNorm
from tests.support.processes import run

#: Channels of the layers of a model, and bytes of gloo's own headers in a pass at most.
NARROW, WIDE = 32, 300
HEADERS = 4096


def _pass(layer: nn.Module, channels: int) -> None:
    layer(torch.randn(4, channels, requires_grad=True)).sum().backward()


def _count(rank: int) -> tuple[list[list[tuple[str, int]]], int]:
    """Return what passes of a narrow, a wide, again the wide and a narrow layer gave; and what sockets sent for one."""
    del rank
    narrow, wide = SyncBatchNorm(NARROW), SyncBatchNorm(WIDE)
    found: list[list[tuple[str, int]]] = []
    for layer, channels in ((narrow, NARROW), (wide, WIDE), (wide, WIDE), (narrow, NARROW)):
        with counted() as given:
            _pass(layer, channels)
        found.append(given.calls)
    before = sent() or 0
    for _ in range(10):
        _pass(wide, WIDE)
    after = sent() or 0
    dist.barrier()
    return found, (after - before) // 10


def test_messages_have_the_size_of_the_groups_widest_layer() -> None:
    narrow = [("all_gather", forward_bytes(NARROW)), ("all_reduce", backward_bytes(NARROW))]
    wide = [("all_gather", forward_bytes(WIDE)), ("all_reduce", backward_bytes(WIDE))]
    for given, wire in run(_count, 2):
        first, grown, after, again = given
        assert first == narrow
        # The first pass of a wider layer sends its rest in a second message.
        assert [kind for kind, _ in grown] == ["all_gather", "all_gather", "all_reduce", "all_reduce"]
        assert [grown[0], grown[2]] == narrow
        assert grown[0][1] + grown[1][1] == wide[0][1]
        assert grown[2][1] + grown[3][1] == wide[1][1]
        assert after == again == wide
        # Two ranks: one message to the other, and two halves of one.
        payload = forward_bytes(WIDE) + backward_bytes(WIDE)
        assert wire == 0 or payload <= wire <= payload + HEADERS


def test_resnet50_has_53_layers() -> None:
    assert len(resnet50()) == 53
    assert sum(resnet50()) == 26_560
