"""The peers: other tools that are told the same model, with the same priors."""

from __future__ import annotations

from stanpool.bench.tools.bambi import BAMBI
from stanpool.bench.tools.numpyro import NUMPYRO
from stanpool.bench.tools.nutpie import NUTPIE
from stanpool.bench.tools.r import R
from stanpool.bench.tools.tool import Tool

PEERS: dict[str, Tool] = {tool.name: tool for tool in (*NUTPIE, *NUMPYRO, *BAMBI, *R)}
