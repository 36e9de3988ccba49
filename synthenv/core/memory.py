"""How much memory this process may still ask for."""

import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
# Limit and use of a control group, of version 2 and of version 1.
_LIMITS = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))


def available() -> int | None:
    """Bytes that are free, or would be if caches of files gave way; None where the system does not say."""
    found = [number for number in (_of_machine(), *map(_of_group, _groups())) if number is not None]
    return min(found, default=None)


def _of_machine() -> int | None:
    """What Linux estimates; elsewhere all the memory that is there."""
    for line in _text(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # no such numbers on this system
        return None


def _groups() -> list[Path]:
    """Control groups that may limit this process: its own, and those that a container shows as the root."""
    paths = [line.split(":", 2)[2].strip("/") for line in _text(Path("/proc/self/cgroup")).splitlines()]
    own = [root / path for path in paths for root in (_CGROUPS, _CGROUPS / "memory")]
    return list(dict.fromkeys([_CGROUPS, _CGROUPS / "memory", *own]))


def _of_group(group: Path) -> int | None:
    for limit, use in _LIMITS:
        most, used = _text(group / limit).strip(), _text(group / use).strip()
        if most.isdigit() and used.isdigit():  # an unlimited group says "max", or more than any machine has
            return max(0, int(most) - int(used) + _reclaimable(group))
    return None


def _reclaimable(group: Path) -> int:
    """Caches of files count as used there, and give way when memory is short."""
    for line in _text(group / "memory.stat").splitlines():
        name, _, number = line.partition(" ")
        if name == "inactive_file":
            return int(number)
    return 0


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:  # of another system, or none of our business
        return ""
