"""Facts about a model, common to all rules; each is collected once, when a rule first needs it."""
