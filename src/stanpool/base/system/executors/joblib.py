"""joblib: processes of this machine by loky, or whatever backend is registered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from stanpool.base.errors import EngineError, quote, quote_list
from stanpool.base.system.executors.job import Job, Outcome, Outcomes
from stanpool.base.system.stopping import stop

_OFTEN = 20  # times that workers are started again after some were lost


@dataclass(frozen=True)
class JoblibWorkers:
    """The workers of a backend of joblib's.

    Attributes
    ----------
    options
        Of ``joblib.Parallel``: ``backend`` and ``n_jobs``; by default those that
        ``joblib.parallel_config`` says, or as many processes as cores.
    """

    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_backend(cls, name: str | None) -> JoblibWorkers:
        """Return the workers of a backend, or of the one that is configured.

        Raises
        ------
        EngineError
            If joblib has no such backend.
        """
        if name is None:
            return cls()
        from joblib.parallel import BACKENDS, EXTERNAL_BACKENDS

        known = sorted({*BACKENDS, *EXTERNAL_BACKENDS, "spark"})
        if name not in known:
            raise EngineError(
                f"joblib has no backend {quote(name)}; it has {quote_list(known, 20)}. "
                "joblib.register_parallel_backend() adds others."
            )
        if name == "spark":
            from joblibspark import register_spark

            register_spark()
        return cls({"backend": name})

    def outcomes(self, job: Job, tasks: Sequence[Any]) -> Outcomes:
        """Do tasks; see ``Workers``."""
        from joblib.externals.loky.process_executor import BrokenProcessPool

        left = dict(enumerate(tasks))
        try:
            for _ in range(_OFTEN):
                try:
                    for place, outcome in self._as_they_end(job, left):
                        del left[place]
                        yield place, outcome
                    return
                except BrokenProcessPool as broken:  # joblib starts new ones
                    problem = broken
            raise EngineError(
                f"workers of joblib ended {_OFTEN} times: {problem} If memory ran out, "
                "use fewer workers: joblib.parallel_config(n_jobs=2)."
            )
        finally:
            if left:
                stop(job.study)

    def _as_they_end(self, job: Job, left: dict[int, Any]) -> Outcomes:
        import joblib
        from joblib.parallel import get_active_backend

        options = dict(self.options)
        if "backend" not in options and get_active_backend()[1] == 1:
            options["n_jobs"] = -1
        with joblib.parallel_config(**{"n_jobs": -1, **options}):
            backend, _ = get_active_backend()
            order = "list"
            if getattr(backend, "supports_return_generator", False):
                order = "generator_unordered"
            run = joblib.Parallel(return_as=order, batch_size=1, pre_dispatch="all")
            calls = [joblib.delayed(_done)(job, *each) for each in left.items()]
            yield from run(calls)


def _done(job: Job, place: int, task: Any) -> tuple[int, Outcome]:
    return place, job(task)
