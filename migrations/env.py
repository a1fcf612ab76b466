"""Alembic's entry: runs the migrations on the connection that `rollcall migrate` hands over; without one they are
written as SQL."""

from alembic import context

if context.is_offline_mode():
    context.configure(dialect_name="postgresql")
else:
    context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
