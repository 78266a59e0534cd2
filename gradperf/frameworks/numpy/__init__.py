"""numpy as a framework of the suite, with backpropagation by hand. Only ``runtime`` imports numpy."""

DEVICES = ("cpu",)
