"""Who is alive, and what becomes of what the dead held."""
