"""The errors that normwise raises deliberately, and its one category of warnings.

::

    NormwiseError
    ├── ShapeError (ValueError)      a tensor whose shape does not fit its layer
    ├── MaskError (ValueError)       a mask of the wrong shape, type or device
    ├── ArgumentError (ValueError)   an argument that does not exist or contradicts another
    ├── MissingPackageError (ImportError) a package that is not installed, or can't be used
    ├── AutogradError (RuntimeError) what autograd can't do: overwrite a leaf, or differentiate what was exchanged
    ├── DistributedError (RuntimeError) processes that do not take part in a collective as all of them must
    ├── DataError                    a data file that is missing, cut short, corrupt or mismatched
    ├── ModelError (ValueError)      a model that cannot be built, run, changed or measured as requested
    ├── ClusterError                 a cluster that does not answer, or whose workers can't make a study's runs
    └── RunError                     a file or folder of normwise's own that can't be read, written or resumed

Each message says where it happened, what was found, what was expected and what to do. Errors that a drop-in layer
can raise are also ``ValueError``, because ``torch.nn`` raises that and callers catch it.
"""


class NormwiseError(Exception):
    """Base of all errors of this library."""


class ShapeError(NormwiseError, ValueError):
    """A tensor's shape does not fit the layer or function that it was given to."""


class MaskError(NormwiseError, ValueError):
    """A mask is not boolean, not of the input's shape without the channel axis, or on another device."""


class ArgumentError(NormwiseError, ValueError):
    """An argument has an invalid value, or one that contradicts another argument."""


class MissingPackageError(NormwiseError, ImportError):
    """A required package, such as Keras, is not installed, or can't be used.

    The text says which extra of normwise installs it: ``pip install 'normwise[study]'``.
    """


class AutogradError(NormwiseError, RuntimeError):
    """Autograd can't overwrite this input, or can't differentiate through a replaced tensor."""


class DistributedError(NormwiseError, RuntimeError):
    """A rank does not take part in a collective as all must: it is at another layer, dead, or not in the group."""


class DataError(NormwiseError):
    """A data file is missing, truncated, corrupt, or does not match the file that belongs to it."""


class ModelError(NormwiseError, ValueError):
    """A model can't be built for its data or options, fails on an example, or can't be changed or measured.

    Operations on models raise it, such as :func:`normwise.fold` and :func:`normwise.calibrate`; the given model
    stays unchanged.
    """


class RunError(NormwiseError):
    """A file or folder of a run, study or recording can't be read or written, is damaged, or belongs to another one.

    It is also raised for any other file that normwise can't write.
    """


class ClusterError(NormwiseError):
    """A cluster does not answer, its workers can't make a study's runs, or it gave up a run."""


class BatchNormWarning(UserWarning):
    """A problem of batch normalization that :func:`normwise.doctor.check_every` found during training."""
