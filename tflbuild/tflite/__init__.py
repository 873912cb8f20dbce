"""The .tflite file: reading, contents, changes, and which runtimes run it."""
