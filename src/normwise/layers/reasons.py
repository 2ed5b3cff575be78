"""Reasons why a norm layer can't be used, as clauses about the layer."""

UNINITIALISED = "has not been initialised: call the model once, so that it knows its channels"
NO_STATISTICS = "keeps no running statistics (track_running_stats=False)"
#: Advice for :data:`NO_STATISTICS`.
GIVE_STATISTICS = (
    'give it some with normwise.convert(model, to="batch", track_running_stats=True) and normwise.calibrate '
    "first"
)
