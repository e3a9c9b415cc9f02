"""A rate: so many requests in so many seconds, as settings write it: `600/minute`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WRITTEN = re.compile(r"([1-9]\d{0,8})\s*/\s*(second|minute|hour|day)", re.IGNORECASE)
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


@dataclass(frozen=True, slots=True)
class Rate:
    """`amount` in any `seconds`."""

    amount: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Rate:
        """The rate that is written so.

        Raises:
            ValueError: it is not written as a rate.
        """
        found = _WRITTEN.fullmatch(text.strip())
        if found is None:
            raise ValueError("must be a number and a while, such as 10/second, 600/minute or 10000/hour")
        return cls(int(found[1]), _SECONDS[found[2].lower()])
