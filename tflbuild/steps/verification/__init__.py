"""Steps that compare outputs: source, float model, artifact. Worker code, but for `spec`."""
