"""The exceptions that a person is meant to read."""


class UserError(Exception):
    """A one-line message that names the cause and the remedy; the command line prints it and exits with 2."""


class MachineError(UserError):
    """What was asked for makes sense, but the machine cannot do it now: a full disk, a directory that is in use.

    The same command may succeed later, so nothing may be concluded from it about what was asked for.
    """
