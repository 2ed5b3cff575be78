"""Facts about several processes: what each says of itself, and how they exchange it."""
