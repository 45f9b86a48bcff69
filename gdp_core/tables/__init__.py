"""Every table, grouped by the stage that writes it. Importing this package makes SQLModel's metadata complete."""

from gdp_core.tables import billing, features, ingest, mail, operations, people, reports, segments, tenancy

METADATA_IS_COMPLETE = (billing, features, ingest, mail, operations, people, reports, segments, tenancy)
