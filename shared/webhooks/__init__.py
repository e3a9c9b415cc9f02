"""Webhooks, as both sides know them: what is told, how it is signed, where it may go, what becomes of it."""
