"""Write the golden programs and equations anew: ``python tests/golden/write.py``.

Run it by hand when a template was changed on purpose, then read the difference that
git shows: that is the review. Never run it in CI.
"""

from __future__ import annotations

import sys
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"
EQUATIONS = Path(__file__).parent / "equations.txt"


def main() -> None:
    """Write each program to its file and remove the files of none."""
    sys.path.insert(0, str(PROGRAMS.parent.parent))
    from golden.catalogue import equations, programs

    EQUATIONS.write_text(equations(), encoding="utf-8", newline="\n")
    wanted = programs()
    PROGRAMS.mkdir(exist_ok=True)
    for path in PROGRAMS.glob("*.stan"):
        if path.stem not in wanted:
            path.unlink()
    for name, program in wanted.items():
        (PROGRAMS / f"{name}.stan").write_text(program.source, newline="\n")


if __name__ == "__main__":
    main()
