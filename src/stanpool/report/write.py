"""Sections -> one HTML file: templates, escaping, and a policy that lets nothing in."""

from __future__ import annotations

import base64
import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stanpool.fit import formula_of
from stanpool.labels import short_label
from stanpool.report.contents import checks, rows_shown, sections, steps
from stanpool.report.glossary import GLOSSARY
from stanpool.report.parts import Missing, Picture, Table
from stanpool.report.record import fit_record
from stanpool.tables import as_json

if TYPE_CHECKING:
    from stanpool.fit import Fit

_FOLDER = Path(__file__).parent


def write_report(
    fit: Fit,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    loo: bool | None = None,
) -> Path:
    """Write a fit up as one HTML file, which needs no network.

    Parameters
    ----------
    fit
        A fit.
    path
        Where to write, such as ``"radon.html"``; a file there is replaced.
    title
        By default the formula.
    loo
        Whether to leave each row out (PSIS) and list the most surprising ones; by
        default unless rows times draws are more than 270 million.

    Returns
    -------
    pathlib.Path
        The file.
    """
    from stanpool.summary import summary as summarize

    diagnosis, summary = fit.diagnose(), summarize(fit)
    shown = rows_shown(fit, summary)
    script = (_FOLDER / "report.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = (
        _environment()
        .get_template("report.html.jinja")
        .render(
            title=short_label(title or formula_of(fit.model.spec), 120),
            verdict=diagnosis.verdict,
            state="fail"
            if not diagnosis.ok
            else "check"
            if diagnosis.findings
            else "pass",
            checks=checks(diagnosis),
            steps=steps(diagnosis),
            sections=sections(fit, summary=summary, shown=shown, loo=loo),
            glossary=GLOSSARY,
            record=_for_script(as_json(fit_record(fit, diagnosis, summary=shown))),
            script=script,
            style=(_FOLDER / "report.css").read_text("utf-8"),
            policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
            f"script-src 'sha256-{digest}'",
            written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, "utf-8")
    return target


def _for_script(json: str) -> str:
    """Keep JSON from ending the script element that holds it; it stays JSON."""
    return json.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    kinds = {"table": Table, "picture": Picture, "missing": Missing}
    for name, kind in kinds.items():
        environment.tests[name] = lambda part, kind=kind: isinstance(part, kind)
    return environment
