"""Steps that measure time and memory. Worker code, but for `spec`."""
