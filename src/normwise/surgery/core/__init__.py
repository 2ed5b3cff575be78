"""Common parts of all operations: examples, copies of models, and the replacement of modules."""
