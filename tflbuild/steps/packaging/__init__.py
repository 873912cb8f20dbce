"""Steps that write metadata, the model card and programs that run the artifact. Worker code, but for `spec`."""
