"""TensorFlow as a framework of the suite. Importing this package does not import TensorFlow; ``runtime`` does."""

DEVICES = ("cpu", "cuda")
COMPANIONS = ("keras",)
