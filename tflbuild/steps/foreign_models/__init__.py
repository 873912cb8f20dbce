"""Untrusted Keras files and SavedModels, read without running anything of them. Worker code."""
