"""Facts about a model that rules share: each is collected once, when a rule first asks for it."""
