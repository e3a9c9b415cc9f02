"""Moving a grown installation to another database."""

from __future__ import annotations

from collections.abc import Iterator


def copy_database(source_url: str, target_url: str) -> Iterator[str]:
    """Copies everything and counts it on both sides; one line per table.

    Raises:
        SettingsError: it was not copied, and why.
    """
    from shared.database.copying import copy

    for copied in copy(source_url, target_url):
        yield f"{copied.table}: {copied.rows} rows in both"
    yield "Everything was copied. Set DATABASE_URL to the new database and start again."
