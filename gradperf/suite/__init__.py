"""The suite: a pytest plugin, the record of a run, its tables and where they are stored."""
