"""Alembic's environment: migrates over the connection that `store.upgrade` hands it."""

from alembic import context

from chimed.storage.store_tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
