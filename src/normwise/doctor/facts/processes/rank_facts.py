"""Facts about the model and the data of one process, for the other processes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from normwise.errors import DistributedError


@dataclass(frozen=True, eq=False)
class RankNorm:
    """One slot of a BN layer in one process.

    Attributes:
        layer_path: Path of the layer.
        kind: Class of the layer.
        mean, variance: Running statistics ``(C,)``; None if there are none.
        steps: Number of batches that updated them; None if unknown.
        eps: Number that is added to the variance; None if unknown.
    """

    layer_path: str
    kind: str
    mean: Tensor | None
    variance: Tensor | None
    steps: int | None
    eps: float | None


@dataclass(frozen=True)
class SyncCall:
    """One call of a synchronised layer in a training step.

    Attributes:
        path: Path of the layer.
        members: Ranks that take part; empty for all of the group.
    """

    path: str
    members: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class RankFacts:
    """Facts of one process.

    Attributes:
        rank: Global rank of the process.
        inputs: Kinds of input that it was given, such as "data".
        rules: Codes of the applied rules.
        norms: Each slot of its BN layers, by path.
        synchronised: Paths of the layers whose batch is that of several processes.
        local_values: Number of values per channel from a usual batch, of each layer that normalises only by the
            batch of its process, by path.
        batches: Number of batches of an epoch; None if unknown.
        batches_read: Number of batches that were read; the data have more if ``batches`` is None.
        sampler: Class of the sampler of its loader; empty for other data.
        calls: Calls of synchronised layers in a training step, in order.
        failed: Reason why the step ended early; empty if it did not.
        parallel: Whether the model is in torch's DistributedDataParallel.
        broadcasts: Whether that copies the buffers of its first rank to the others.
    """

    rank: int
    inputs: frozenset[str]
    rules: tuple[str, ...]
    norms: Mapping[str, RankNorm]
    synchronised: frozenset[str] = frozenset()
    local_values: Mapping[str, int] | None = None
    batches: int | None = None
    batches_read: int = 0
    sampler: str = ""
    calls: tuple[SyncCall, ...] = ()
    failed: str = ""
    parallel: bool = False
    broadcasts: bool = False


def check_alike(ranks: Sequence[RankFacts]) -> None:
    """Check that all processes examine the same layers, with the same rules and the same kinds of input.

    Raises:
        DistributedError: they do not; the error names the first two ranks that differ.
    """
    first = ranks[0]
    for other in ranks[1:]:
        pair = f"rank {first.rank} and rank {other.rank}"
        if list(first.norms) != list(other.norms):
            apart = sorted(first.norms.keys() ^ other.norms.keys())
            said = f"only one of them has the layer {apart[0]!r}" if apart else "they are in another order"
            raise DistributedError(
                f"{pair} diagnose models with other BN layers: {said}; expected copies of one model on all processes"
            )
        if first.inputs != other.inputs:
            kinds = ", ".join(sorted(first.inputs ^ other.inputs))
            raise DistributedError(
                f"{pair} were not given the same kinds of input: only one of them has {kinds}; call normwise.diagnose "
                "with the same arguments on all processes"
            )
        if first.rules != other.rules:
            codes = ", ".join(sorted({*first.rules} ^ {*other.rules}))
            raise DistributedError(
                f"{pair} apply other rules: only one of them has {codes}; pass the same select and ignore on all "
                "processes"
            )


def ranks_text(ranks: Sequence[int]) -> str:
    """Return ranks in words, such as ``"rank 1"`` or ``"ranks 0, 1 and 5 others"``."""
    if len(ranks) == 1:
        return f"rank {ranks[0]}"
    shown = [str(rank) for rank in ranks] if len(ranks) <= 6 else [*map(str, ranks[:5])]
    if len(ranks) > 6:
        return f"ranks {', '.join(shown)} and {len(ranks) - 5} others"
    return f"ranks {', '.join(shown[:-1])} and {shown[-1]}"
