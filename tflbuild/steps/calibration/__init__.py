"""Steps that measure activations on samples. Worker code, but for `spec`."""
