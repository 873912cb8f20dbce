"""Reading and checking of untrusted Keras files and SavedModels, without running any part of them. Worker code."""
