"""A model with a fault planted in it, by the code of the rule that finds it."""

from collections.abc import Callable

from tests.keras.doctor.planted import batches, modes, numerics, statistics, wiring
from tests.keras.doctor.small_models import Case

FAULTS: dict[str, Callable[[], Case]] = {
    "BN101": wiring.redundant_bias,
    "BN102": wiring.norm_on_output,
    "BN103": wiring.norm_after_norm,
    "BN104": wiring.dropout_before_norm,
    "BN105": wiring.shared_norm,
    "BN106": wiring.unreached_norm,
    "BN107": wiring.channels_last_sequence,
    "BN201": statistics.stale_statistics,
    "BN202": statistics.never_updated_statistics,
    "BN203": statistics.broken_statistics,
    "BN204": statistics.swapped_statistics,
    "BN205": statistics.foreign_settings,
    "BN207": statistics.padding_in_statistics,
    "BN301": modes.left_in_training,
    "BN302": modes.mixed_modes,
    "BN303": modes.unfrozen_statistics,
    "BN401": numerics.half_precision_statistics,
    "BN403": numerics.dominating_eps,
    "BN405": numerics.dead_channels,
    "BN406": numerics.exploding_channels,
    "BN407": numerics.vanishing_scale,
    "BN501": batches.one_value_per_channel,
    "BN502": batches.tiny_last_batch,
    "BN503": batches.noisy_statistics,
}
