"""A small OpenAI-compatible chat server: real HTTP, deterministic answers, and faults on demand.

It serves first runs without an API key, and the tests, which choose its speed and its faults by the model's name
(see README.md beside this file). Start it with ``python -m demo_model --port 8100``.
"""
