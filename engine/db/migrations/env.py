"""Alembic's entry: `engine.db.migrate` hands over an open connection and keeps the transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], target_metadata=None)
with context.begin_transaction():
    context.run_migrations()
