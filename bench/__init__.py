"""Each figure of the documentation as a command: `python -m bench.token_bus`. Nothing here judges; it prints."""
