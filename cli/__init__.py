"""The command `asyncchat`: everything on one machine (`up`) and its single roles (`api`, `worker`, `migrate`)."""
