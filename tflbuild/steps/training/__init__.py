"""The step `optimize`: training before conversion. Worker code, but for `spec`."""
