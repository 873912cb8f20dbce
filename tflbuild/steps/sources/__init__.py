"""Steps that bring a source model in: fetch, import, describe. Worker code, but for `spec`."""
