"""The common parts of the watches of torch and of Keras: how a recording begins, its numbers, its destinations."""
