"""Writing a report as one HTML file, whose content policy lets nothing else load."""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.system.files import try_writing, write_text
from stanpool.base.table_files import as_json
from stanpool.inference.diagnostics import Diagnosis, diagnose
from stanpool.inference.diagnostics.outcomes import check_outcomes
from stanpool.inference.estimates.summary import summary as summarize
from stanpool.language.formulas.formula_text import stated
from stanpool.posterior.scalars import short_label
from stanpool.report.glossary import GLOSSARY
from stanpool.report.parts import Formulas, Missing, Picture, Table
from stanpool.report.record import fit_record

if TYPE_CHECKING:
    from stanpool.model.fit_result import FitResult

_PAGE = Path(__file__).parent / "page"


def write_report(
    fit: FitResult,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    loo: bool = True,
) -> Path:
    """Write a report on a fit as one HTML file, which can be read without a network.

    Parameters
    ----------
    fit
        A fit.
    path
        The file, such as ``"radon.html"``, which is replaced if it exists.
    title
        The title; by default the formula.
    loo
        Whether to do leave-one-out cross-validation (PSIS) and list the rows that are
        predicted worst. If rows times draws are more than 270 million, only a sample of
        the rows is left out, and the report says so.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    StorageError
        If the file cannot be written; nothing has been computed then.
    """
    # Imported here because the figures load much of the package.
    from stanpool.report.contents import checks, sections, steps
    from stanpool.report.criticism import LOO, leave_rows_out
    from stanpool.report.estimates import rows_shown

    try_writing(path)  # before the long computation
    diagnosis, summary = diagnose(fit), summarize(fit)
    shown = rows_shown(fit, summary)
    # Chains that diverged may give infinite or missing values; the verdict says so.
    with np.errstate(all="ignore"):
        left_out = (
            leave_rows_out(fit)
            if loo
            else Missing(LOO, "it was switched off (loo=False).")
        )
        written = sections(fit, summary=summary, shown=shown, left_out=left_out)
        outcomes = (
            None
            if isinstance(left_out, Missing)
            else check_outcomes(fit, result=left_out)
        )
    return write_page(
        path,
        title=title or stated(fit.model.spec),
        verdict=diagnosis.verdict,
        state="fail" if not diagnosis.ok else "check" if diagnosis.findings else "pass",
        checks=checks(diagnosis),
        steps=steps(diagnosis),
        outcomes=None if outcomes is None else _second_verdict(outcomes),
        sections=written,
        record=fit_record(fit, diagnosis, summary=shown)
        | {"outcomes": outcomes and asdict(outcomes)},
    )


def _second_verdict(outcomes: Diagnosis) -> dict[str, Any]:
    """Return what the page shows of the checks of outcomes."""
    from stanpool.report.contents import checks, steps

    return {
        "verdict": outcomes.verdict,
        "state": "check" if outcomes.findings else "pass",
        "checks": checks(outcomes, target="predictive-section"),
        "steps": steps(outcomes),
        "not_seen": outcomes.not_seen,
    }


def write_page(
    path: str | os.PathLike[str], *, title: str, record: Any, **parts: Any
) -> Path:
    """Fill the template of a report, and write the file.

    Parameters
    ----------
    path
        The file, which is replaced if it exists.
    title
        The heading.
    record
        The contents of the report as values that JSON can hold.
    parts
        The verdict, its state, checks, next steps, and sections.
    """
    script = (_PAGE / "report.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = (
        _environment()
        .get_template("report.html.jinja")
        .render(
            title=short_label(title, 120),
            glossary=GLOSSARY,
            record=_for_script(as_json(record)),
            script=script,
            style=(_PAGE / "report.css").read_text("utf-8"),
            policy="default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
            f"script-src 'sha256-{digest}'",
            **{"outcomes": None} | parts,
            written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )
    write_text(path, text)
    return Path(path)


def _for_script(json: str) -> str:
    """Escape JSON so that it cannot end the script element that contains it."""
    return json.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_PAGE),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    kinds = (Table, Picture, Formulas, Missing)
    for name, kind in ((each.__name__.lower(), each) for each in kinds):
        environment.tests[name] = lambda part, kind=kind: isinstance(part, kind)
    return environment
