"""Commands that train a network, and commands that use trained networks."""
