"""Names of model files that promise no other format."""

import pathlib

import pytest

import fastnn
from tests.model_files import bits, small_network


@pytest.mark.parametrize(
    "name",
    [
        "m.npz.tmp",
        "model.bak",
        "run.best",
        "net.2024-01-01",
        "d.model",
        "m.npz~",
        "m.npz.1",
        "lr0.05",
        "m",
        ".pt",
        "m.zip",
    ],
)
def test_other_names_are_used_as_they_are(name: str, tmp_path: pathlib.Path) -> None:
    """They are used even beside a file with the name without its suffix: no message may send the user there."""
    (tmp_path / "m.npz").write_bytes(b"kept")
    small_network().save(tmp_path / name)
    assert bits(fastnn.load(tmp_path / name)) == bits(small_network())
    assert (tmp_path / "m.npz").read_bytes() == b"kept"
