"""When each token leaves, in seconds after the request arrived."""

from collections.abc import Callable

Pace = Callable[[int], list[float]]  # the number of tokens -> the moment of each


def steady(*, first: float, each: float) -> Pace:
    """The first token after `first` seconds, then one every `each` seconds."""
    return lambda count: [first + each * position for position in range(count)]


def spread(total: float, *, first: float | None = None) -> Pace:
    """The last token after `total` seconds, the others evenly before it (from `first` on, where given)."""

    def moments(count: int) -> list[float]:
        if first is None:
            return [total * (position + 1) / count for position in range(count)]
        if count == 1:
            return [first]
        return [first + (total - first) * position / (count - 1) for position in range(count)]

    return moments


AT_ONCE = steady(first=0, each=0)
LIVE = steady(first=0.05, each=0.02)
