"""Rules of the doctor for Keras models, a file each, with the codes of those for torch models."""
