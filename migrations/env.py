"""Runs migrations on the connection that gdp_core.schema opened: as gdp_owner, one transaction for each."""

from alembic import context
from sqlmodel import SQLModel

from gdp_core.tables import METADATA_IS_COMPLETE  # noqa: F401 - imports every table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    transaction_per_migration=True,
    include_schemas=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
