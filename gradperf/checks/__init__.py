"""The checks that a case must pass before and after it is timed."""
