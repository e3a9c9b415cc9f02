"""Each figure of docs/performance.md as a command: `python -m bench` runs all, `python -m bench.accept` one."""
