"""The one exception that a person is meant to read."""


class UserError(Exception):
    """A one-line message that names the cause and the remedy; the command line prints it and exits with 2."""
