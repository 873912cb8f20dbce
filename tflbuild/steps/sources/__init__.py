"""Steps that fetch, import and describe a source model. Worker code, but for `spec`."""
