"""What a process has room for when it claims: at which upstreams, and how many replies at each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Place:
    """Where an attempt asks: the upstream, the model's name there, and which of the model's routes that is.

    No upstream: the model is not on offer.
    """

    upstream: str | None
    model: str
    route: int = 0


class Room(Protocol):
    """What a process has room for. It shrinks with each place that is taken, and one is made for each claim."""

    @property
    def least(self) -> int | None:
        """How many may be claimed at once without reading far beyond what there is room for. None: any number."""
        ...

    def shut(self) -> Sequence[tuple[str, int]]:
        """The models, each with the `next_route` of a row, that there is no place for now."""
        ...

    def take(self, model: str, next_route: int) -> Place | None:
        """Where to ask for this row. None: there is no place for it now."""
        ...


class AnyRoom:
    """Room for everything, at one upstream that nothing is known of."""

    least: int | None = None

    def shut(self) -> Sequence[tuple[str, int]]:
        """See `Room.shut`."""
        return ()

    def take(self, model: str, next_route: int) -> Place | None:
        """See `Room.take`."""
        return Place(None, model, next_route)
