"""The terminal: `asyncchat chat` and `asyncchat ask`, two clients of a server's HTTP interface and of nothing else."""
