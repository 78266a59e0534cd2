"""The gate, measured from outside."""
