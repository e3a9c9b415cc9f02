"""The way to the database: `await database.read(fn, …)` and `await database.write(fn, …)`."""
