"""``python -m stanpool`` is the command ``stanpool``."""

from __future__ import annotations

from stanpool.cli import main

if __name__ == "__main__":
    main(prog_name="stanpool")
