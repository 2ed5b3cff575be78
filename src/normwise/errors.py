"""Every error that normwise raises on purpose, and the one warning with a category of its own.

::

    NormwiseError
    ├── ShapeError (ValueError)      a tensor whose shape does not fit its layer
    ├── MaskError (ValueError)       a mask of the wrong shape, type or device
    ├── ArgumentError (ValueError)   an argument that does not exist or contradicts another
    ├── MissingPackageError (ImportError) a package that is not installed, or can't be used
    ├── AutogradError (RuntimeError) what autograd can't do: overwrite a leaf, or differentiate what was exchanged
    ├── DistributedError (RuntimeError) processes that do not do together what all of them must
    ├── DataError                    a data file that is missing, cut short, corrupt or mismatched
    ├── ModelError (ValueError)      a model that cannot be built, run, changed or measured as was asked
    ├── ClusterError                 a cluster that does not answer, or whose workers can't make a study's runs
    └── RunError                     a file or folder of normwise's own that can't be read, written or gone on with

Each message says where, what was got, what was expected and how to mend it. Those that a drop-in
layer can raise are also ``ValueError``, because ``torch.nn`` raises that and callers catch it.
"""


class NormwiseError(Exception):
    """Base of all errors of this library."""


class ShapeError(NormwiseError, ValueError):
    """A tensor's shape does not fit the layer or function that it was given to."""


class MaskError(NormwiseError, ValueError):
    """A mask is not boolean, not of the input's shape without the channel axis, or on another device."""


class ArgumentError(NormwiseError, ValueError):
    """An argument has a value that does not exist, or one that contradicts another argument."""


class MissingPackageError(NormwiseError, ImportError):
    """A package that is needed for what was asked, such as Keras, is not installed, or can't be used.

    The text says which extra of normwise installs it: ``pip install 'normwise[study]'``.
    """


class AutogradError(NormwiseError, RuntimeError):
    """Autograd can't do what was asked: overwrite this input, or differentiate by what was given back to it."""


class DistributedError(NormwiseError, RuntimeError):
    """Processes do not do together what all of them must: a rank is elsewhere, gone, or no member of the group."""


class DataError(NormwiseError):
    """A data file is missing, truncated, corrupt, or does not match the file that belongs to it."""


class ModelError(NormwiseError, ValueError):
    """A model can't be built for its data or options, fails on an example, or can't be changed or measured.

    The operations on models raise it, such as :func:`normwise.fold` and :func:`normwise.calibrate`; the model that they
    were given is as it was.
    """


class RunError(NormwiseError):
    """A file or folder of a run, study or recording can't be read or written, is damaged, or is another's.

    So is every file that normwise was asked to write and can't.
    """


class ClusterError(NormwiseError):
    """A cluster does not answer, its workers are not fit for a study, or it gave a run up."""


class BatchNormWarning(UserWarning):
    """A problem of batch normalization that :func:`normwise.doctor.check_every` saw while a model trains."""
