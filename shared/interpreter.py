"""How the threads of a process share the interpreter, and how often it looks for garbage."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# CPython lets a busy thread run on for 5 ms while another waits, and a request changes threads several times (loop,
# writer, reader, loop). Measured in docs/decisions/0006.
SWITCH_SECONDS = 0.0005
# A whole collection looks at everything that ten thousand listeners hold, for up to a second, and with CPython's own
# thresholds one comes with every few hundred connections.
GARBAGE_THRESHOLDS = (10_000, 10, 50)


def collect_rarely() -> None:
    """Makes a process with much to hold stop less often to look for garbage."""
    gc.set_threshold(*GARBAGE_THRESHOLDS)


def keep_what_is_loaded() -> None:
    """What the process holds by now stays until its end: looking for garbage leaves it out."""
    gc.freeze()


def hand_over_quickly() -> None:
    """Makes a busy thread yield sooner to one that waits."""
    sys.setswitchinterval(SWITCH_SECONDS)


@contextmanager
def loading() -> Iterator[None]:
    """While a process loads its code: what is loaded stays, so that looking for garbage finds next to nothing in it.

    Looking costs a fifth of loading a worker, and afterwards each whole collection would look at all of it again.
    """
    gc.disable()
    try:
        yield
    finally:
        keep_what_is_loaded()
        gc.enable()
