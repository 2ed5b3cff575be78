"""Graphs of models: the flow of values between modules.

Three parts of surgery follow a model on an example. They answer different questions, and none can replace another.

=========================================  ==============================  =========================================
Follower                                   Follows                         Use it to know
=========================================  ==============================  =========================================
:mod:`normwise.surgery.graph.model_graph`  ``torch.fx`` through whole      which layer feeds which over the whole
                                           models, in parts as large as    model, and where code that can't be
                                           it can trace; layers of torch   followed may use a layer as well (fold,
                                           and ours are leaves             remove_biases)
``accelerate/module_graph``                ``torch.fx`` through one        whether the code of one forward pass is
                                           module's own ``forward``; all   nothing but its graph, so that the graph
                                           of its children are leaves      may replace it (accelerate)
``insert/consumers``                       autograd backwards from what    what the outputs of a layer go into,
                                           each module is given            whatever the code is like (insert)
=========================================  ==============================  =========================================

``torch.fx`` runs the code on symbolic values: it shows every operation, for all inputs of that kind at once, but
fails if the code branches on values. Autograd sees every forward pass, but only for the example, and without the
names of operations. A new operation that rewrites code needs the first or the second; one that only needs the next
operation needs the third.
"""
