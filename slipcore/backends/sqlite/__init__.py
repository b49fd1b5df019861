"""The embedded backend: topics, state and checkpoints in one SQLite file.

The file is one transaction domain and may be shared by processes: topics by the members of their
consumer groups, each space of state by one owner at a time.
"""
