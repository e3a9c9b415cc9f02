"""Alembic's entry: it migrates over the connection that `shared.database.schema.migrate` hands it."""

from alembic import context

from shared.database.models import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
