"""Callbacks for training loops of other libraries: a file a library, which is imported by its users alone."""
