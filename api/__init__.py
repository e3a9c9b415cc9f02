"""The gateway: conversations, messages and replies over HTTP. Imports `shared`, never `worker`."""
