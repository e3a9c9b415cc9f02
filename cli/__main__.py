"""`python -m cli` is the same as `asyncchat`."""

from cli.main import main

if __name__ == "__main__":
    main()
