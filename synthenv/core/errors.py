"""The exceptions that a person is meant to read."""


class UserError(Exception):
    """A one-line message that names the cause and the remedy; the command line prints it and exits with 2."""


class Told(str):
    """A note on an exception, of which the command line prints this line alone."""


def told_of(error: BaseException) -> Told | None:
    """The line that somebody has noted on an exception, if anybody has."""
    return next((note for note in getattr(error, "__notes__", ()) if isinstance(note, Told)), None)


class MachineError(UserError):
    """What was asked for makes sense, but the machine cannot do it now: a full disk, a directory that is in use.

    The same command may succeed later, so nothing may be concluded from it about what was asked for.
    """
