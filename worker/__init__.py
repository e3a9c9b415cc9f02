"""The generators: a stock Celery worker whose tasks hand their replies to one asyncio loop. Imports only `shared`."""
