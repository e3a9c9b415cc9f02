"""Bringing the database up to date. Also `python -m cli.migration`, which reads DATABASE_URL and no other setting."""

from __future__ import annotations

import os
import sys

from shared.errors import AsyncChatError
from shared.interpreter import loading


def bring_up_to_date(database_url: str) -> str:
    """Create or upgrade the tables; what was done, in one line.

    Raises:
        AsyncChatError: the database cannot be opened or migrated.
    """
    with loading():
        from shared.database.engine import parse_url
        from shared.database.schema import migrate

    named = parse_url(database_url).render_as_string()  # With *** for a password.
    try:
        migrate(database_url)
    except AsyncChatError:
        raise
    except Exception as error:  # whatever a driver or the disk raises becomes a sentence
        first_line = str(error).partition("\n")[0]
        raise AsyncChatError(f"cannot use the database {named} (DATABASE_URL): {first_line}") from error
    return f"The database {named} is up to date."


if __name__ == "__main__":
    try:
        print(bring_up_to_date(os.environ["DATABASE_URL"]))
    except AsyncChatError as error:
        sys.exit(" ".join(str(error).split()))
