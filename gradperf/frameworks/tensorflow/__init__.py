"""TensorFlow. Importing this package imports nothing; ``runtime`` imports TensorFlow."""

DEVICES = ("cpu", "cuda")
COMPANIONS = ("keras",)
