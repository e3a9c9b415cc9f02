"""Keys, made in the database."""

from __future__ import annotations

from api.services.keys import make
from shared.api_keys import Scope
from shared.database.access import Database

FULL = frozenset({Scope.READ, Scope.WRITE})


class Keys:
    """Makes keys in the database, as `asyncchat keys create` does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def make(
        self, tenant: str = "default", *, scopes: frozenset[Scope] = FULL, expires_at: int | None = None
    ) -> tuple[str, dict[str, str]]:
        """Its id, and the header that shows it."""
        made = await self._database.write(make, tenant, name="test", scopes=scopes, expires_at=expires_at, pepper="")
        return made.row["id"], {"Authorization": f"Bearer {made.secret}"}
