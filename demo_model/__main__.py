"""`python -m demo_model [--host 127.0.0.1] [--port 8100] [--journal FILE]`; port 0 takes a free one and prints it."""

import argparse
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from demo_model import server


def main() -> None:
    arguments = _arguments()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    try:
        listener = server.listen(arguments.host, arguments.port)
    except (OSError, OverflowError) as error:
        sys.exit(f"demo model: cannot listen on {arguments.host}:{arguments.port}: {error}")
    with ExitStack() as stack:
        path: Path | None = arguments.journal
        journal = stack.enter_context(path.open("a", encoding="utf-8")) if path else None
        server.serve(listener, journal=journal)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo_model", description="A small OpenAI-compatible demo model.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", default=8100, type=int, help="port to listen on, 0 for any (default: %(default)s)")
    parser.add_argument("--journal", type=Path, help="a file that gets a line of JSON for every chat request")
    return parser.parse_args()


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main()
