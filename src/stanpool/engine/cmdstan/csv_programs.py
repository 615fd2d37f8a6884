"""``bin/stansummary`` and ``bin/diagnose`` of the home that stanpool sets up.

cmdstanpy runs them for ``CmdStanMCMC.summary()`` and ``diagnose()``. The wheel that the
home is made of does not have them, so that they are scripts here, which let the Python
that wrote them do it (``python -m stanpool.cli.stan_csv``). The home is shared by all
environments of a user: each writes the scripts anew when it finds those of another.
"""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

NAMES = ("stansummary", "diagnose")
_MODULE = "stanpool.cli.stan_csv"
_PACKAGES = Path(__file__).parents[3]


def provide_csv_programs(home: Path) -> None:
    """Write the two scripts into a home, unless they are there as they would be.

    Nothing happens where the home cannot be written, or Python does not know its own
    executable; cmdstanpy then says that there is no such program.

    Parameters
    ----------
    home
        A CmdStan home that stanpool has set up.
    """
    if not sys.executable:
        return
    for name in NAMES:
        path, text = home / "bin" / name, _script(name)
        with suppress(OSError):
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                _replace(path, text)


def _script(name: str) -> str:
    # Written for sh: what follows "#!" may hold no space, and has a limited length.
    return f"""\
#!/bin/sh
# Written by stanpool.engine.ensure(), for the Python that called it last.
python={shlex.quote(sys.executable)}
if [ ! -x "$python" ]; then
    echo "{name}: $python is gone; stanpool.engine.ensure() writes this anew." >&2
    exit 127
fi
PYTHONPATH={shlex.quote(str(_PACKAGES))}${{PYTHONPATH:+:$PYTHONPATH}}
export PYTHONPATH
exec "$python" -P -m {_MODULE} {name} "$@"
"""


def _replace(path: Path, text: str) -> None:
    """Write an executable file beside another, and put it in its place."""
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(partial, 0o755)
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(partial)
        raise
