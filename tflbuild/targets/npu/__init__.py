"""NPUs for which LiteRT compiles ahead of time."""
