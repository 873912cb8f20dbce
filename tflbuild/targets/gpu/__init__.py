"""LiteRT's GPU delegate."""
