"""How this program was called, for sentences with a command to paste."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

NAME = "asyncchat"


def to_type() -> str:
    """What runs it again in the same shell: its name, or the path to it where the name alone is not found."""
    called = Path(sys.argv[0])
    if called.name != NAME or not called.exists():
        return NAME  # As `python -m cli`, by whoever knows how.
    found = shutil.which(NAME)
    return NAME if found is not None and Path(found).samefile(called) else sys.argv[0]
