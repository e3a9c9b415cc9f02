"""Alembic's entry: it migrates over the connection that `shared.database.schema.migrate` hands it."""

from alembic import context

import shared.database.search_tables  # noqa: F401  Its tables belong to the metadata.
from shared.database.models import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
