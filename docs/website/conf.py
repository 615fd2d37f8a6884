"""Settings of Sphinx for the documentation site."""

import sys
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
_PROJECT = tomllib.loads(
    (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
)["project"]

project = "stanpool"
author = "stanpool developers"
release = version = _PROJECT["version"]
html_title = f"stanpool {release}"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "website.extension",
]
myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 4
templates_path: list[str] = []
# Headings of notebooks may begin below the first level, and numpydoc lists sources that
# no sentence refers to.
suppress_warnings = ["myst.header", "ref.footnote"]

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 60
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
add_module_names = False
default_role = "any"

html_theme = "pydata_sphinx_theme"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
# Pages without pages beside or below them.
html_sidebars = {name: [] for name in ("index", "gallery", "search", "genindex")}
html_show_sourcelink = False
html_copy_source = False
html_use_index = False
html_theme_options = {
    "logo": {"text": "stanpool"},
    "navbar_persistent": ["search-button"],
    "navbar_end": ["theme-switcher"],
    "navbar_align": "left",
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "header_links_before_dropdown": 9,
    "navigation_with_keys": False,
    "pygments_light_style": "tango",
    "pygments_dark_style": "github-dark",
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
