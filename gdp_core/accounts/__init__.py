"""Who may do what: people who sign in, their sessions, roles, keys and sources, and the log of what they changed.

Every function that changes something takes the open session first and a `Principal`, asks `authorise`, and writes the
audit row in the same transaction.
"""
