"""What torch's own tools (scripting, tracing, hooks, converters) ask of layers."""
