"""Many fits by their labels, in memory or in a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from stanpool.api.facade import Fit, load
from stanpool.base.arguments import public
from stanpool.base.errors import SpecError, quote, quote_list, suggestion
from stanpool.base.system.executors.chosen import AnyExecutor
from stanpool.base.system.parallel import run_many
from stanpool.data.columns import as_frame
from stanpool.inference.estimates.summary import summary
from stanpool.inference.estimates.summary_table import SummaryTable
from stanpool.inference.evaluation.loo import loo
from stanpool.studies.many.datasets import segments
from stanpool.studies.many.diagnoses_table import DiagnosesTable
from stanpool.studies.many.folder import FitsFolder, Record
from stanpool.studies.many.pooled import PooledDraws, refuse_other_than_missing

if TYPE_CHECKING:
    import pandas as pd

Result = TypeVar("Result")

_SHOWN = 10
_MEASURED = ("divergences", "max_r_hat", "min_ess_bulk", "min_ess_tail")


@public
@dataclass(frozen=True, eq=False, repr=False)
class Fits(Mapping[Any, Fit]):
    """Fits by their labels, as ``fit_many`` returns and ``load_fits`` reads them.

    ``fits["WI"]`` is a fit, and ``fits["WI", 2020]`` one with a label of two parts.
    Fits in a folder are read when they are asked for.

    Attributes
    ----------
    names
        What the parts of a label are called: columns of ``by=``, ``"data"`` or
        ``"model"``.
    records
        How each fit went, including those that failed.
    kept
        The fits in memory, by label.
    folder
        Where the others are, or None.
    functions
        The user's functions that formulas call; saved fits have their names only.
    """

    names: tuple[str, ...]
    records: tuple[Record, ...]
    kept: Mapping[Any, Fit] = field(default_factory=dict)
    folder: FitsFolder | None = None
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def __getitem__(self, label: Any) -> Fit:
        """Return the fit with a label."""
        if label in self.kept:
            return self.kept[label]
        if self.folder is None or label not in self._done:
            raise KeyError(self._unknown(label))
        return load(self.folder.place_of(label), functions=self.functions)

    def __iter__(self) -> Iterator[Any]:
        """Go through the labels of all fits that did not fail."""
        return iter(self._done)

    def __len__(self) -> int:
        """Count the fits that did not fail."""
        return len(self._done)

    @property
    def failures(self) -> pd.Series[Any]:
        """Why fits failed, by their labels."""
        import pandas as pd

        failed = [each for each in self.records if each.failure]
        messages = [each.failure for each in failed]
        index = self._index(failed)
        return pd.Series(messages, index=index, name="failure", dtype=object)

    def diagnose(self) -> pd.DataFrame:
        """Say how each fit went, the worst first.

        Returns
        -------
        pandas.DataFrame
            A row for each label: ``problems`` of the diagnosis, ``divergences``,
            ``max_r_hat``, ``min_ess_bulk``, ``min_ess_tail``, ``seconds``, and
            ``finding``, the first sentence about a problem or why there is no fit.
        """
        worst_first = sorted(self.records, key=_from_well_to_ill, reverse=True)
        columns = ["problems", *_MEASURED, "seconds"]
        rows = [
            {name: getattr(each, name) for name in columns}
            | {"finding": each.failure or each.finding}
            for each in worst_first
        ]
        return DiagnosesTable(
            rows, index=self._index(worst_first), columns=[*columns, "finding"]
        )

    def summary(
        self,
        *,
        var_names: Sequence[str] | None = None,
        groups: bool = False,
        prob: float = 0.9,
    ) -> pd.DataFrame:
        """Summarize the posterior of each fit, one below the other.

        Parameters
        ----------
        var_names, groups, prob
            As for ``Fit.summary``, except that coefficients of groups are left out by
            default.

        Returns
        -------
        pandas.DataFrame
            The rows of each summary, whose index has the label of the fit first.
        """
        table = self._concatenated(
            partial(summary, var_names=var_names, groups=groups, prob=prob),
            inner="parameter",
        )
        return SummaryTable(table)

    def loo(self) -> pd.DataFrame:
        """Cross-validate each fit: ``elpd``, ``se``, ``p``, rows with large k-hat.

        Returns
        -------
        pandas.DataFrame
            A row for each fit.
        """
        import pandas as pd

        found = self.map(loo)
        rows = [
            {
                "elpd": each.elpd,
                "se": each.se,
                "p": each.p,
                "unreliable": len(each.unreliable),
            }
            for each in found.values()
        ]
        return pd.DataFrame(rows, index=self._index(list(self._done.values())))

    def predict(self, data: Any, **options: Any) -> pd.DataFrame:
        """Predict new rows by each fit, or by the fit of their segment.

        Parameters
        ----------
        data
            New rows. If they have the columns that name the segments, each is predicted
            by the fit of its own segment, in the order of the rows, and otherwise by
            all fits.
        options
            As for ``Fit.predict`` with ``summary=True``, of which this is the table.

        Raises
        ------
        SpecError
            If there is no fit of the segment of a row.
        """
        frame = as_frame(data)
        if not set(self.names) <= set(frame.columns):
            return self._concatenated(
                partial(_predicted, rows=frame, options=options), inner="row"
            )
        import pandas as pd

        rows = frame.reset_index(drop=True)
        by_label = segments(rows, self.names)
        unknown = [label for label in by_label if label not in self]
        if unknown:
            raise SpecError(
                f"there is no fit for the rows of {quote_list(unknown)}; fits are "
                f"those of {quote_list(self, 10)}. Leave these rows out."
            )
        tables = [
            _predicted(self[label], own, options) for label, own in by_label.items()
        ]
        table = pd.DataFrame(pd.concat(tables))
        if options.keys() & {"by", "pairs"}:  # whose rows are not those of the data
            return table
        table = table.sort_index(kind="stable")
        return table.set_axis(frame.index.take(table.index.to_numpy()))

    def pool(self, data: Any = None) -> PooledDraws:
        """Put the draws of all fits together, as those of one posterior.

        This is for imputations of missing values: draws given each of them, in equal
        numbers, are draws of the posterior averaged over what is missing.

        Parameters
        ----------
        data
            The data in which values are missing. Data sets that differ from them, or
            from each other, in anything else are then refused.

        Raises
        ------
        SpecError
            If fits have different parameters or numbers of draws, or one has failed.
        DataError
            If a data set is none of these data with missing values filled in.
        """
        if len(self.failures):
            raise SpecError(
                f"{len(self.failures)} of {len(self.records)} fits failed, so that the "
                "others may not represent all imputations: see .failures."
            )
        if data is not None:
            for label, fit in self.items():
                refuse_other_than_missing(label, fit.model.data, as_frame(data))
        return PooledDraws.of(list(self.values()))

    def map(
        self,
        function: Callable[[Fit], Result],
        *,
        executor: AnyExecutor | None = None,
        progress: bool = False,
    ) -> dict[Any, Result]:
        """Apply a function to each fit.

        Parameters
        ----------
        function
            Any function of a fit.
        executor
            What runs it, as for ``fit_many``; by default the fits are taken one after
            the other in this process.
        progress
            Whether to show progress on standard error.

        Returns
        -------
        dict
            The results by label.

        Raises
        ------
        SpecError
            If it is not a function.
        """
        if not callable(function):
            raise SpecError(f"function={quote(function)} must be a function of a fit.")
        results = run_many(
            partial(_applied, self, function),
            list(self),
            title=f"Applying a function to {len(self)} fits",
            executor=executor,
            progress=progress,
        )
        return dict(zip(self, results, strict=True))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write all fits to a folder, which ``load_fits`` reads.

        Parameters
        ----------
        folder
            A new folder, or one with other fits with such labels, to which these are
            added. A fit that is there under the same label is replaced.

        Raises
        ------
        PathTakenError, StorageError
            If the path is anything else, or cannot be written to.
        """
        target = FitsFolder.opened(Path(folder), self.names)
        for record in self.records:
            if not record.failure:
                place = target.place_of(record.label)
                self[record.label].save(place, overwrite=True)
            target.write(record)

    def __repr__(self) -> str:
        """Say how many fits there are, and how they went."""
        lines = [f"{len(self):,} fits by {', '.join(self.names) or 'nothing'}"]
        failed = len(self.records) - len(self)
        bad = sum(each.problems > 0 for each in self.records)
        if failed:
            lines.append(f"{failed:,} failed: see .failures")
        if bad:
            lines.append(f"{bad:,} have problems: see .diagnose()")
        labels = quote_list(self, _SHOWN)
        return "\n".join([*lines, f"labels: {labels}"])

    @cached_property
    def _done(self) -> dict[Any, Record]:
        """The records of the fits that did not fail, by their labels."""
        return {each.label: each for each in self.records if not each.failure}

    def _unknown(self, label: Any) -> str:
        known = [str(each) for each in self]
        for record in self.records:
            if record.failure and record.label == label:
                return f"the fit {quote(label)} failed: {record.failure}"
        return (
            f"there is no fit {quote(label)}; there are {quote_list(known, 10)}."
            f"{suggestion(str(label), known)}"
        )

    def _index(self, records: Sequence[Record]) -> pd.Index[Any]:
        """Return the labels of records as an index with their names."""
        import pandas as pd

        labels = [each.label for each in records]
        if len(self.names) > 1:
            return pd.MultiIndex.from_tuples(labels, names=list(self.names))
        index: pd.Index[Any] = pd.Index(labels, name=(self.names or (None,))[0])
        return index

    def _concatenated(
        self, table_of: Callable[[Fit], pd.DataFrame], *, inner: str
    ) -> pd.DataFrame:
        """Return the tables of all fits, one below the other."""
        import pandas as pd

        tables = [pd.DataFrame(each) for each in self.map(table_of).values()]
        names = [*self.names, inner]
        return pd.DataFrame(pd.concat(tables, keys=list(self), names=names))


def _from_well_to_ill(record: Record) -> tuple[bool, int, float]:
    """Return what sorts records from well to ill: failures, problems, R-hat."""
    r_hat = record.max_r_hat
    return bool(record.failure), record.problems, 0.0 if isnan(r_hat) else r_hat


def _applied(fits: Fits, function: Callable[[Fit], Result], label: Any) -> Result:
    return function(fits[label])


def _predicted(fit: Fit, rows: Any, options: Mapping[str, Any]) -> pd.DataFrame:
    table: pd.DataFrame = fit.predict(rows, **{**options, "summary": True})
    return table


@public
def load_fits(
    folder: str | os.PathLike[str],
    *,
    functions: Mapping[str, Callable[..., Any]] | None = None,
) -> Fits:
    """Read the fits that ``fit_many`` or ``Fits.save`` wrote, even before a crash.

    Parameters
    ----------
    folder
        The folder.
    functions
        Functions of your own that the formulas call, as for ``load``.

    Raises
    ------
    FileNotFoundError
        If there are no fits.
    DataError
        If a file is damaged.
    """
    found = FitsFolder.read(Path(folder))
    records = tuple(found.records())
    return Fits(found.names, records, folder=found, functions=functions or {})
