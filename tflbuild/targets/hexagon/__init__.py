"""TensorFlow Lite's Hexagon delegate."""
