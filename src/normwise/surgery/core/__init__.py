"""The parts that all operations share: examples, copies of models, and the exchange of modules."""
