"""Support of layers for torch's own tools: scripting, tracing, hooks, converters."""
