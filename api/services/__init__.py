"""The use cases. Each owns its transaction by calling `database.write` or `database.read` once."""
