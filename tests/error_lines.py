"""What a command that refuses must have printed: one whole line, so that a wrong flag or remedy in it is seen."""

import re


def is_line(wanted: str, printed: str) -> bool:
    """Whether a command printed this error and no more; `` ...`` in it stands for names, or another program's words."""
    pattern = re.escape(f"synthenv: {wanted}\n").replace(r"\.\.\.", r"[^\n]+")
    return re.fullmatch(pattern, printed) is not None
