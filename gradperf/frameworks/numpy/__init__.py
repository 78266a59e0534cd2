"""numpy: backpropagation by hand. Importing this package imports nothing; ``runtime`` imports numpy."""

DEVICES = ("cpu",)
