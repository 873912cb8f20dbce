"""TensorFlow Lite's Core ML delegate."""
