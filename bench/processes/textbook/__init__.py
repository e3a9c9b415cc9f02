"""A chat backend as the documentation of FastAPI, SQLAlchemy and Celery would have it written.

What Async Chat API is measured beside: an async session for each request, `task.delay()` after the commit, a task that
asks the model through OpenAI's SDK and stores the answer, and clients that poll. Written to be good at that: WAL on
SQLite, sessions that are short, threads instead of processes for a task that only waits, late acknowledgement, retries.
"""
