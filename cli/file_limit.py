"""How many connections a process may have open: the soft limit, which every process may raise up to the hard one."""

from __future__ import annotations

import resource

# Where there is no hard limit; some systems refuse to set none.
ENOUGH = 65_536


def raise_file_limit() -> int:
    """Allows this process, and those that it starts, as many open files as the machine lets it; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = ENOUGH if hard == resource.RLIM_INFINITY else hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    except (OSError, ValueError):
        return soft  # The machine has a bound of its own.
    return files
