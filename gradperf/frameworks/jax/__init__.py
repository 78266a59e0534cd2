"""JAX as a framework of the suite. Importing this package does not import jax; ``runtime`` does."""

DEVICES = ("cpu", "cuda")
COMPANIONS = ("jaxlib",)
