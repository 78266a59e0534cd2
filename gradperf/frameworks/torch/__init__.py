"""torch as a framework of the suite. Importing this package does not import torch; ``runtime`` does."""

DEVICES = ("cpu", "cuda")
