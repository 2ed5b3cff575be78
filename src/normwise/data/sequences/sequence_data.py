"""A labelled set of sequences, speech or text, split into a training and a test part."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from normwise.data.sample_order import epoch_order
from normwise.data.sequences.padded_batches import Sequences
from normwise.data.stratified_split import stratified
from normwise.errors import DataError
from normwise.records import InputSpec

if TYPE_CHECKING:
    from normwise.data.text.word_vectors import WordVectors


@dataclass(frozen=True, eq=False)
class SequenceData:
    """Sequences with one label each, in a training and a test part.

    Attributes:
        name: what tables and figures call the set, and errors name it by.
        training, test: Training and test part.
        input_spec: how a sequence is made of a recording or a text, and what the classes are called.
        vectors: those that a network for texts begins with; None where it draws them.

    Raises:
        DataError: the parts do not fit the specification of inputs.
    """

    name: str
    training: Sequences
    test: Sequences
    input_spec: InputSpec
    vectors: "WordVectors | None" = None

    def __post_init__(self) -> None:
        (size,), classes = self.input_spec.shape, len(self.input_spec.classes)
        for part, samples in (("training", self.training), ("test", self.test)):
            values, labels = samples.values, samples.labels
            if values.is_floating_point():
                if values.ndim != 2 or values.shape[1] != size:
                    got = tuple(values.shape[1:])
                    raise DataError(
                        f"{self.name}: frames of the {part} part have the shape {got}, expected ({size},)"
                    )
            elif values.ndim != 1 or int(values.min()) < 0 or int(values.max()) >= size:
                raise DataError(f"{self.name}: the {part} part has tokens that are not from 0 to {size - 1}")
            if int(labels.min()) < 0 or int(labels.max()) >= classes:
                raise DataError(
                    f"{self.name}: the {part} part has labels that are not from 0 to {classes - 1}"
                )

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of sequences, labels and input specification: equal for equal data, wherever it lies."""
        return self._sha256

    @cached_property
    def _sha256(self) -> str:
        # "Preparation" is what the record was called when the first digests were kept with runs.
        spec = repr(self.input_spec).replace("InputSpec", "Preparation", 1)
        digest = hashlib.sha256(spec.encode())
        for samples in (self.training, self.test):
            for tensor in (samples.values, samples.lengths, samples.labels):
                digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(tensor.contiguous().numpy().data)
        if self.vectors is not None:
            for tensor in (self.vectors.vectors, self.vectors.known):
                digest.update(tensor.numpy().data)
        return digest.hexdigest()

    def subset(
        self, train: int | None = None, test: int | None = None, *, draw: int | None = None
    ) -> "SequenceData":
        """Return the data with the first ``train`` training and ``test`` test sequences; None keeps them all.

        Args:
            train: Number of training sequences.
            test: Number of test sequences.
            draw: Seed to draw the training sequences by, in place of the first ones.

        Raises:
            DataError: fewer than 1 sequence asked for, or more than there are.
        """
        for part, samples, wanted in (("training", self.training, train), ("test", self.test, test)):
            if wanted is not None and not 1 <= wanted <= len(samples):
                raise DataError(
                    f"{self.name}: {wanted} {part} sequences asked for; it must be from 1 to {len(samples)}"
                )
        if train is None and test is None:
            return self
        training = self.training.first(train)
        if draw is not None:
            training = self.training.chosen(epoch_order(len(self.training), draw, epoch=0)[:train].tolist())
        return replace(self, training=training, test=self.test.first(test))

    def for_tuning(self) -> "SequenceData":
        """Return the training sequences alone, a fifth of each class of them in place of the test sequences."""
        kept, held_out = stratified(self.training.labels.tolist(), share=5)
        return replace(self, training=self.training.chosen(kept), test=self.training.chosen(held_out))

    def to(self, dtype: torch.dtype) -> "SequenceData":
        """Return the data with frames in another floating-point dtype; tokens are unchanged."""
        return replace(self, training=self.training.to(dtype), test=self.test.to(dtype))
