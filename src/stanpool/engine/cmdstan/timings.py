"""How long compiling takes, and what is gained by it.

Whether compiling pays is a question of seconds, and these differ between machines. So
what this machine took is kept in the cache, beside the executables; until there is
anything, what another machine took is taken.
"""

from __future__ import annotations

import json
import math
import statistics
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stanpool.base.errors import EngineError, StorageError
from stanpool.base.system.files import writing
from stanpool.engine.install.cache import cache_folder

COMPILING, SETTING_UP = "seconds to compile a program", "seconds to set CmdStan up"
STANS_OWN = "Stan's own functions"

_FILE = "timings.json"
_KEPT = 5  # measurements of each, so that one which was disturbed does not count


@dataclass(frozen=True)
class Known:
    """A number that the engine is chosen by.

    Attributes
    ----------
    value
        The number.
    how
        How it is known, such as "as assumed".
    """

    value: float
    how: str


def gain_by(kind: str) -> str:
    """Return the name under which the gain in speed by compiling is kept.

    The gain is the time of a gradient of the interpreted program, divided by that of
    the compiled one.

    Parameters
    ----------
    kind
        The function in C++ that is the likelihood, or ``STANS_OWN``.
    """
    return f"gain by compiling {kind}"


# On a machine with two cores: seconds, and ratios of the CPU time of a gradient in
# chains of stanli 0.24 and of CmdStan 2.39. They grow with the data, and compiling pays
# where these are large: those of the marginal form are of 1000 groups (those of small
# data are 1), of Bernoulli and Poisson outcomes of 8,000 rows, of others of 2,000.
# Where Stan's own functions are, stanli is faster: one is on the safe side.
_ELSEWHERE = {
    COMPILING: 25.0,
    SETTING_UP: 100.0,
    gain_by("grouped_bernoulli_logit_glm"): 3.5,
    gain_by("grouped_poisson_log_glm"): 2.3,
    gain_by("grouped_student_t_identity_glm"): 2.1,
    gain_by("grouped_negative_binomial_log_glm"): 1.8,
    gain_by("grouped_gamma_log_glm"): 3.6,
    gain_by("marginal_normal_id_glm"): 2.8,
    gain_by("twice_marginal_normal_id_glm"): 1.0,
    gain_by(STANS_OWN): 1.0,
}
_OTHER_GAIN = 2.0  # of functions in C++


def known(what: str) -> Known:
    """Return the median of the last measurements here, or what it was elsewhere.

    A gain is not measured again where it was so small that nothing is compiled. So that
    one fit on a busy machine does not settle that, what the gain was elsewhere counts
    as one more measurement while there are few.
    """
    elsewhere = Known(_OTHER_GAIN, "as assumed")
    if what in _ELSEWHERE:
        elsewhere = Known(_ELSEWHERE[what], "as measured on another machine")
    with suppress(EngineError):
        if last := _kept().get(what):
            if what not in (COMPILING, SETTING_UP) and len(last) < _KEPT:
                last = [*last, elsewhere.value]
            return Known(statistics.median(last), "as measured on this machine")
    return elsewhere


def remember(what: str, value: float) -> None:
    """Keep a measurement, if the cache can be written; the last few of each count.

    If two processes do so at once, the measurement of one may be lost.
    """
    if not (math.isfinite(value) and value > 0):
        return
    with suppress(EngineError, StorageError):
        kept = _kept()
        kept[what] = [*kept.get(what, []), value][-_KEPT:]
        with writing(_file()) as file:
            file.write(json.dumps(kept, indent=1).encode())


def _file() -> Path:
    return cache_folder() / _FILE


def _kept() -> dict[str, list[float]]:
    """Return all measurements; a file that is damaged has none."""
    try:
        found = json.loads(_file().read_text("utf-8"))
        return {str(what): [float(each) for each in found[what]] for what in found}
    except (OSError, ValueError, TypeError):
        return {}
