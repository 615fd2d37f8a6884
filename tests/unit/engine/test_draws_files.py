"""Files of draws as our driver describes them, written here by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stanpool.engine.cmdstan import draws_files
from stanpool.engine.cmdstan.draws_files import read_draws_files, with_draws_file


def write(folder: Path, numbers: np.ndarray, *, passing: bytes = b"z,") -> str:
    head = b"x,b.1.1,b.2.1,\n" + passing + b"\n"
    (folder / "chain.draws").write_bytes(head + numbers.astype(float).tobytes())
    return str(folder / "chain.csv")


def test_draws_of_a_column_stand_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draws_files, "_BUFFER", 7)  # two of the draws
    # Draw d has 10 * d + 0, 1, 2; z of the last draw is 7.
    numbers = np.append(10 * np.arange(5)[:, None] + np.arange(3), 7.0)
    kept, passing = read_draws_files([write(tmp_path, numbers)], 5)
    np.testing.assert_array_equal(kept.of("x"), [[0, 10, 20, 30, 40]])
    np.testing.assert_array_equal(kept.of("b")[0, 3], [[31], [32]])
    assert kept.array.flags.f_contiguous
    assert passing is not None
    np.testing.assert_array_equal(passing.of("z"), [[7.0]])
    assert not (tmp_path / "chain.draws").exists()


def test_all_variables_may_be_kept(tmp_path: Path) -> None:
    file = write(tmp_path, np.arange(3), passing=b"")
    assert read_draws_files([file], 1)[1] is None


@pytest.mark.parametrize("numbers", [14, 15, 17])
def test_a_file_that_is_cut_is_refused(tmp_path: Path, numbers: int) -> None:
    file = write(tmp_path, np.arange(numbers))
    with pytest.raises(ValueError, match=r"chain\.draws does not have 5 draws"):
        read_draws_files([file], 5)


def test_commands_name_the_file_beside_the_other() -> None:
    command = ["./x", "id=1", "output", "file=/t/x_1.csv", "method=sample"]
    assert with_draws_file(command, ["z", "z_2"]) == [
        *command[:3],
        "draws_file=/t/x_1.draws",
        "passing=z,z_2",
        *command[3:],
    ]
    assert "passing" not in " ".join(with_draws_file(command, []))
