"""Answers of layers to torch's own tools: scripting, tracing, hooks, converters."""
