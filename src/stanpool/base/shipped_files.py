"""Where the templates and data sets lie, installed or in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent.parent
_CHECKOUT = _PACKAGE.parent.parent


def shipped_folder(name: str) -> Path:
    """Return the path of a shipped folder, ``"stan_templates"`` or ``"data"``.

    A wheel carries both in the package's folder ``shipped``; an editable install reads
    them from the top level of the checkout.
    """
    installed = _PACKAGE / "shipped" / name
    return installed if installed.is_dir() else _CHECKOUT / name
