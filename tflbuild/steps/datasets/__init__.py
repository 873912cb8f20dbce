"""Steps that convert datasets to samples. Worker code, except `spec`."""
