"""The two sides of a comparison: checkouts and interpreters."""
