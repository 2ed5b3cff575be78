"""The backend of ``torch.compile(model, backend="normwise")``.

Dynamo traces the forward pass into a graph of torch's functions. :mod:`normwise.dynamo.fuse` replaces batch
normalization in it, together with the addition and activation after it; :mod:`normwise.dynamo.backend` passes the
rest to Inductor, or runs it eagerly.
"""
