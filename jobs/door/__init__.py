"""The door: HTTP in, verified, stored, acknowledged. `jobs/web.py` runs it."""
