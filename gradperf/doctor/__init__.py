"""``gradperf doctor``: what this machine can measure, and what spoils measuring on it."""
