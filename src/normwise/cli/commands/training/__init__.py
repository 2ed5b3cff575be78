"""Commands that train a network, and those that use what was trained."""
