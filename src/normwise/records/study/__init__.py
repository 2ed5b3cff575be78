"""Studies: claims, the cases they were tested in, and what came of them."""
