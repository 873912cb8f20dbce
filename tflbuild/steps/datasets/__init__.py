"""Steps that turn datasets into samples. Worker code, but for `spec`."""
