"""Facts about the modules of a model, before anything runs."""
