"""TensorFlow Lite's NNAPI delegate."""
