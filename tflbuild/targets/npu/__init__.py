"""NPUs that LiteRT compiles for ahead of time."""
