"""Keras files and SavedModels of strangers, read without running anything of them. Worker code."""
