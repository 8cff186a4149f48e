"""`python -m aconnect` is the command `aconnect`."""

from .cli import main

if __name__ == "__main__":
    main()
