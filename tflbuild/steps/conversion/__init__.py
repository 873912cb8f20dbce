"""Steps that run TFLiteConverter. Worker code, except `spec`."""
