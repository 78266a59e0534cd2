"""How the styles of a run compare with each other, and one run with another."""
