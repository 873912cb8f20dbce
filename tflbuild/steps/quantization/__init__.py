"""Steps that quantize a float .tflite. Worker code, but for `spec`."""
