"""The caches of this machine, and the blocks that are fitted to them."""

import pathlib

import pytest

from fastnn.kernels import caches
from fastnn.kernels.caches import DEPTH, HELD, LEFT_BLOCK, LEFT_SPAN, SPAN, TALL, WAY, Caches, blocks
from fastnn.kernels.compile import JIT_DISABLED, entry

FIRST = {"level": "1", "type": "Data", "size": "48K", "ways_of_associativity": "12", "shared_cpu_list": "0"}
CODE = {**FIRST, "type": "Instruction", "size": "64K"}
SECOND = {"level": "2", "type": "Unified", "size": "1024K", "ways_of_associativity": "16", "shared_cpu_list": "0"}
LAST = {"level": "3", "type": "Unified", "size": "32768K\n", "shared_cpu_list": "0-3,8-11"}


def written(folder: pathlib.Path, *every: dict[str, str]) -> pathlib.Path:
    for i, one in enumerate(every):
        (folder / f"index{i}").mkdir()
        for name, text in one.items():
            (folder / f"index{i}" / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("every", "found"),
    [
        ([FIRST, CODE, SECOND, LAST], Caches(4 << 10, 1 << 20, 4 << 20, 32 << 20)),
        ([FIRST, {**SECOND, "shared_cpu_list": "0,64"}, LAST], Caches(4 << 10, 512 << 10, 4 << 20, 32 << 20)),
        ([{**FIRST, "size": "64K", "ways_of_associativity": "4"}, {**SECOND, "size": "2M"}],
         Caches(16 << 10, 2 << 20, 2 << 20, 2 << 20)),
        ([FIRST, SECOND, {**LAST, "size": "what"}], Caches(4 << 10, 1 << 20, 1 << 20, 1 << 20)),
        ([{"level": "3", "size": "8M"}], Caches(4 << 10, 1 << 20, 8 << 20, 8 << 20)),
        ([{"size": "8M"}, {"level": "two", "size": "1M"}], Caches()),
        ([{**FIRST, "size": "128K", "ways_of_associativity": "8"}], Caches()._replace(way=16 << 10)),
        ([{**FIRST, "size": "64K", "ways_of_associativity": "12"}, SECOND, LAST],  # 5461 bytes are no way
         Caches(5440, 1 << 20, 4 << 20, 32 << 20)),
    ],
)  # fmt: skip
def test_the_caches_are_read(every: list[dict[str, str]], found: Caches, tmp_path: pathlib.Path) -> None:
    assert caches.read(written(tmp_path, *every)) == found


def test_without_linux_they_are_usual_ones(tmp_path: pathlib.Path) -> None:
    assert caches.read(tmp_path / "none") == Caches()


def test_blocks_fit_their_caches() -> None:
    for size in (64 << 10, 256 << 10, 512 << 10, 1 << 20, 2 << 20, 64 << 20):
        made = blocks(Caches(4 << 10, size, 4 * size, 16 * size))
        assert (
            made[SPAN] == size < made[LEFT_SPAN]
            and made[SPAN] <= max(size, made[HELD])
            and made[LEFT_BLOCK] <= size // 2
            and made[WAY] == 4 << 10
        )
        assert made[HELD] == min(caches.MOST_HELD, 4 * size)
        assert caches.LEAST_DEPTH <= made[DEPTH] <= caches.MOST_DEPTH
        assert made[DEPTH] == caches.LEAST_DEPTH or made[DEPTH] * 2 * caches.PANEL_BYTES <= size // 4
        assert caches.LEAST_TALL <= made[TALL] <= caches.MOST_TALL
        assert made[TALL] == caches.LEAST_TALL or made[TALL] * made[DEPTH] * 4 <= 4 * size // 2


def _read_all() -> tuple[int, ...]:
    fitted = caches.fitted
    return fitted(DEPTH), fitted(SPAN), fitted(HELD), fitted(LEFT_SPAN), fitted(LEFT_BLOCK), fitted(TALL), fitted(WAY)


@pytest.mark.skipif(JIT_DISABLED, reason="there is no compiled code")
def test_compiled_code_reads_the_table() -> None:
    assert entry(_read_all)() == tuple(caches.TABLE)
