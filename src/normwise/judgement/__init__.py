"""Judgements that the doctors for torch and for Keras share; they know neither framework."""
