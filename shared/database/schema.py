"""Bringing a database to the tables this version works with, and telling whether it is there."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from sqlalchemy import Column, Connection, Index, MetaData, PrimaryKeyConstraint, String, Table, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import OrderedSet

from shared.database import postgresql
from shared.database.engine import first_line, open_engine, parse_url, prepare_sqlite, sqlite_path
from shared.database.file_lock import FileLock
from shared.errors import SettingsError

# The newest migration. A constant, so that a gateway need not load the migration tool to check it.
HEAD = "0015"
_MIGRATIONS = Path(__file__).parent / "migrations"
# Where the migration tool notes down how far it has come, as it makes it.
_alembic_version = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32)),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def migrate(database_url: str) -> None:
    """Creates or upgrades the tables. Processes that do so at once take turns.

    Raises:
        SettingsError: the database cannot be opened.
    """
    url = parse_url(database_url)
    path = sqlite_path(url)
    lock = FileLock(path) if path else None
    try:
        with lock.held() if lock else nullcontext():
            if path:
                prepare_sqlite(path)
            with open_engine(url, read_only=False).begin() as connection:
                if not path:
                    postgresql.hold_off_other_migrations(connection)
                _bring_to_head(connection)
    except DBAPIError as error:
        raise SettingsError(f"cannot migrate the database: {first_line(error)}") from None
    finally:
        if lock:
            lock.close()


def _bring_to_head(connection: Connection) -> None:
    """An empty database gets today's tables at once: a first start need not go through all that ever was.

    A test holds both ways equal to the letter.
    """
    found = version(connection)
    if found == HEAD:
        return
    if found is None and not inspect(connection).get_table_names():
        create(connection)
    else:
        upgrade(connection)


def create(connection: Connection) -> None:
    """Makes all tables in an empty database."""
    from shared.database.models import metadata

    for table in metadata.tables.values():
        # SQLAlchemy has them in a set, so in an order of chance. Of two that promise as much SQLite 3.40 takes the
        # newest, which should be one for that purpose alone.
        table.indexes = OrderedSet(sorted(table.indexes, key=_place))
    metadata.create_all(connection, checkfirst=False)
    _alembic_version.create(connection)
    connection.execute(_alembic_version.insert().values(version_num=HEAD))


def _place(index: Index) -> tuple[bool, str]:
    return index.dialect_options["sqlite"]["where"] is not None, str(index.name)


def upgrade(connection: Connection) -> None:
    """Goes through the migrations that this database has not seen yet."""
    from alembic import command  # Takes a tenth of a second to import, and only this function needs it.
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def version(connection: Connection) -> str | None:
    """The migration the database is at, or None if it has none of our tables."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("select version_num from alembic_version")).scalar_one_or_none()


def require_head(connection: Connection) -> None:
    """Refuses to work on tables of another version.

    Raises:
        SettingsError: the database is not migrated, or by another version of this program.
    """
    found = version(connection)
    if found is None:
        raise SettingsError("the database has no tables yet: run `asyncchat migrate` first")
    if found == HEAD:
        return
    if any(file.name.startswith(f"{found}_") for file in (_MIGRATIONS / "versions").glob("*.py")):
        raise SettingsError(f"the database is at version {found}, this program needs {HEAD}: run `asyncchat migrate`")
    raise SettingsError(
        f"the database is at version {found}, which this program does not know: run the newer one that migrated it"
    )
