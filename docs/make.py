"""Build the documentation site: ``python docs/make.py``.

The pages are put together in ``build/docs/source``, and the site is written to
``build/docs/site``. Every warning is an error, every link within the site is followed,
and nothing that the site shows may come from another place. ``--quick`` leaves the
figures of the gallery out, whose models take about two minutes.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from website.links import faults
from website.pages import put_together

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "docs"


def main() -> int:
    """Build the site, and return the exit code: 1 if anything is wrong."""
    from sphinx.cmd.build import build_main

    parser = argparse.ArgumentParser(description="Build the documentation site.")
    parser.add_argument("--quick", action="store_true", help="leave the gallery out")
    options = parser.parse_args()
    source, site = BUILD / "source", BUILD / "site"
    shutil.rmtree(site, ignore_errors=True)
    put_together(ROOT, source, gallery=not options.quick)
    settings = ["-c", str(ROOT / "docs" / "website"), "-d", str(BUILD / "trees")]
    ended = build_main(["-q", "-W", "--keep-going", *settings, str(source), str(site)])
    found = faults(site)
    print(*found, sep="\n", end="\n" * bool(found), file=sys.stderr)
    if ended == 0 and not found:
        print(f"The site is {site / 'index.html'}")
    return int(ended != 0 or bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
