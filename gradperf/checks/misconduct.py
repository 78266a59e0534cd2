"""What is raised for a style whose time would not measure its work."""


class Misconduct(AssertionError):
    """A style whose time would not measure its work."""
