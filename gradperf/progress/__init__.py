"""How far a long command is: what is done now, how much is left, and for how long."""
