"""torch. Importing this package imports nothing; ``runtime`` imports torch."""

DEVICES = ("cpu", "cuda")
