"""Processes that the benchmarks start: baselines, and clients that must not share an interpreter with who measures."""
