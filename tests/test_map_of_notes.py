"""The map of the course notes, in English and in Chinese: its code runs as printed, and what it names exists."""

import doctest
import itertools
import pathlib
import re
from typing import Any

import pytest

import fastnn
from fastnn.demos import DEMOS
from fastnn.gate.foreign_names import OF_COURSES

DOCS = pathlib.Path(__file__).parents[1] / "docs"
ENGLISH, CHINESE = (DOCS / name for name in ("notes.md", "notes.zh.md"))
BOTH = pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=["english", "chinese"])


def found(pattern: str, page: pathlib.Path) -> list[Any]:
    return re.findall(pattern, page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def rows(page: pathlib.Path) -> list[list[str]]:
    """The cells of all tables without their heads."""
    lines = [line.strip("| ").split(" | ") for line in found(r"^(\|[^\n]+\|)$", page)]
    return [row for i, row in enumerate(lines) if not any("---" in line[0] for line in lines[i : i + 2])]


def test_code_runs_as_printed() -> None:
    """From the top of the page to its end; both pages have the same code."""
    code = "\n".join(found(r"```pycon\n(.*?)```", ENGLISH))
    examples = doctest.DocTestParser().get_doctest(code, {}, ENGLISH.name, str(ENGLISH), 0)
    assert len(examples.examples) > 200
    printed: list[str] = []
    doctest.DocTestRunner(verbose=False).run(examples, out=printed.append)
    assert not printed, "".join(printed)


def test_both_pages_say_the_same_in_the_same_order() -> None:
    for pattern, least in (
        (r"```(\w*)\n(.*?)```", 70),
        (r"^(#+) (?:([0-9]{3}\.[0-9]+)|.*?([0-9]{3})|)", 60),
        (r"^\*(?:In the note: |原文标题\uff1a)([^*\n]+)\*$", 60),
        (r"^\*\*(?:Slip|勘误)[:\uff1a]", 30),
        (r"\]\(((?!notes|http)[^)]+)\)", 70),
        (r"`(fastnn [a-z]+(?: [a-z-]+)?)`", 40),
    ):
        english, chinese = found(pattern, ENGLISH), found(pattern, CHINESE)
        assert len(english) >= least
        if "Slip" in pattern:
            assert len(english) == len(chinese)
        else:
            assert english == chinese
    assert [row[-2:] for row in rows(ENGLISH) if len(row) == 3] == [row[-2:] for row in rows(CHINESE) if len(row) == 3]
    assert [row for row in rows(ENGLISH) if len(row) == 2] == [row for row in rows(CHINESE) if len(row) == 2]


@BOTH
def test_headings_are_numbered(page: pathlib.Path) -> None:
    """Those of each note from 1, each with the note's own headings below it; the table of topics has such numbers."""
    numbers = found(r"^### ([0-9]{3}\.[0-9]+) [^\n]+\n\n\*[^*\n]+\*$", page)
    assert len(numbers) == len(found(r"^### ", page))
    by_note = [len(list(group)) for _, group in itertools.groupby(number[:3] for number in numbers)]
    assert numbers == [f"{note:03}.{i}" for note, count in enumerate(by_note) for i in range(1, count + 1)]
    topics = [row for row in rows(page) if len(row) == 3]
    assert len(topics) >= 30
    assert [row for row in topics if not set(row[2].split(", ")) <= set(numbers)] == []


@BOTH
def test_links_pictures_demos_and_names_exist(page: pathlib.Path) -> None:
    for target in found(r"\]\(([^)#]+)\)", page):
        assert (page.parent / target).exists(), target
    demos = set(found(r"`fastnn demo ([a-z][a-z-]+)`", page))
    assert len(demos) > 10 and demos <= set(DEMOS)
    overview = (DOCS / "reference" / "overview.md").read_text(encoding="utf-8")
    assert [name for name in found(r"`(fastnn [a-z]+)", page) if f"`{name}`" not in overview] == []
    assert len(set(found(r"\]\((gallery/[^)]+)\)", page))) > 20
    topics = " ".join(row[1] for row in rows(page) if len(row) == 3)
    for name in re.findall(r"`((?!fastnn )[A-Za-z_0-9.]+)[^`]*`", topics):
        thing: Any = fastnn
        for part in name.split("."):
            thing = getattr(thing, part)


@BOTH
def test_names_of_the_courses_are_answered_as_listed(page: pathlib.Path) -> None:
    listed = {name: row[1] for row in rows(page) if len(row) == 2 for name in re.findall(r"`([^`]+)`", row[0])}
    assert listed == {name: f"`fastnn.{OF_COURSES[name]}`" for name in listed}
    of_notes = {"cross_entropy_error", "eta", "function_2", "learning_rate", "simpleNet", "tangent_line", "TwoLayerNet"}
    assert of_notes <= set(listed)
