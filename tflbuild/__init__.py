"""tflbuild: a build system whose artifacts are TensorFlow Lite (LiteRT) models."""

__version__ = "0.1.0"
