"""Steps that run TFLiteConverter. Worker code, but for `spec`."""
