"""jax. Importing this package imports nothing; ``runtime`` imports jax."""

DEVICES = ("cpu", "cuda")
COMPANIONS = ("jaxlib",)
