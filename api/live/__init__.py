"""Waiting for changes: one Redis subscription a process, and the database as its fallback."""
