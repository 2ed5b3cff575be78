"""The backend of ``torch.compile(model, backend="normwise")``.

Dynamo follows the forward pass and hands over a graph of torch's functions. :mod:`normwise.dynamo.fuse` replaces batch
normalization there, with the addition and activation behind it; :mod:`normwise.dynamo.backend` gives the rest to
Inductor, or runs it as it is.
"""
