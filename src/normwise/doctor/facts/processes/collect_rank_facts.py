"""Collection of the facts that one process sends to the others."""

from typing import Any

from torch.nn.parallel import DistributedDataParallel

from normwise.doctor.facts.data.small_batches import values_of_smallest_batch
from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.processes.rank_facts import RankFacts, RankNorm, SyncCall
from normwise.doctor.facts.processes.synchronisation import members


def collect_rank_facts(facts: Facts, rank: int, codes: tuple[str, ...] = ()) -> RankFacts:
    """Return the facts of this process; with data it makes a training step, in which no layer synchronises.

    Args:
        facts: Facts about the model in this process.
        rank: Rank of the process.
        codes: Codes of the applied rules.
    """
    model = facts.given_model
    parallel = isinstance(model, DistributedDataParallel)
    synchronised = frozenset(path for path, kind in facts.layers.items() if kind.traits.synchronised)
    norms = {
        path: RankNorm(norm.layer_path, norm.kind, norm.mean, norm.variance, norm.steps, norm.eps)
        for path, norm in facts.norms.items()
    }
    common: dict[str, Any] = {
        "rank": rank,
        "inputs": facts.has - {"processes"},
        "rules": codes,
        "norms": norms,
        "synchronised": synchronised,
        "parallel": parallel,
        "broadcasts": parallel and bool(getattr(model, "broadcast_buffers", False)),
    }
    if "data" not in facts.has:
        return RankFacts(**common)
    batches, step = facts.batches, facts.step
    return RankFacts(
        **common,
        local_values={
            path: found.usual
            for path, found in values_of_smallest_batch(facts).items()
            if path not in synchronised and path not in facts.modes.stuck_in_evaluation
        },
        batches=batches.batches_a_pass,
        batches_read=len(batches.batches),
        sampler=batches.sampler,
        calls=tuple(
            SyncCall(call.layer_path, members(facts.layers[call.layer_path]))
            for call in step.calls
            if call.by_batch and call.layer_path in synchronised
        ),
        failed=step.failed,
    )
