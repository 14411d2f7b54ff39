"""emperor-trio: an Emperor for vassals, on Trio."""
