"""What the watches of torch and of Keras share: the beginning of a recording, its numbers, its destinations."""
