"""Rules of the doctor for Keras models, one file each, with the codes of those for torch models."""
