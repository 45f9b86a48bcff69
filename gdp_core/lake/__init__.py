"""The events again, columnar: DuckLake tables per workspace, catalogue in Postgres, Parquet in a folder or a bucket.

Derived from Postgres and rebuilt from it at any time; nothing is kept here alone. The analyst writes, anyone reads.
"""
