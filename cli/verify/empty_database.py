"""The database of a run: one that is empty, or none at all."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from shared.database.engine import first_line, open_engine, parse_url, sqlite_path
from shared.errors import SettingsError
from shared.store import census


def require(database_url: str) -> None:
    """Refuses whatever has a table, so that nobody's data is ever put to the test.

    Raises:
        SettingsError: it has one, or cannot be read.
    """
    url = parse_url(database_url)
    path = sqlite_path(url)
    if path is not None and not path.exists():
        return
    try:
        with open_engine(url, read_only=True).begin() as connection:
            names = census.table_names(connection)
    except DBAPIError as error:
        raise SettingsError(f"cannot read the database {shown(database_url)}: {first_line(error)}") from None
    if not names:
        return
    cure = f"remove {path} and what lies beside it" if path else "DROP SCHEMA public CASCADE; CREATE SCHEMA public"
    raise SettingsError(
        f"the database {shown(database_url)} is not empty, it has a table {min(names)}, and verify uses none but an "
        f"empty one: name another or, if this one is left from an earlier verify, empty it ({cure})"
    )


def absolute(database_url: str) -> str:
    """The same database from any folder."""
    url = parse_url(database_url)
    path = sqlite_path(url)
    return database_url if path is None else f"sqlite:///{path}"


def shown(database_url: str) -> str:
    """With *** for a password."""
    return parse_url(database_url).render_as_string()
