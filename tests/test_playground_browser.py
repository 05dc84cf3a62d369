"""The playground in a real browser, on the screens of a projector and of a telephone."""

import os
import pathlib
import threading
from collections.abc import Iterator

import pytest

from fastnn.kernels.compile import JIT_DISABLED
from fastnn.playground.server import Server
from fastnn.playground.worker import MOST_SESSIONS
from tests import browsers
from tests.browsers import Browser

pytestmark = [
    pytest.mark.skipif(bool(browsers.MISSING), reason=browsers.MISSING or "there"),
    pytest.mark.skipif(JIT_DISABLED, reason="slow with NUMBA_DISABLE_JIT=1"),
]

PROJECTOR, TELEPHONE = (1920, 1080, 1), (390, 844, 3)
PICTURES = os.environ.get("FASTNN_SCREENSHOTS")  # a folder for whoever wants to look at the pages


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as one:
        thread = threading.Thread(target=one.serve_forever, args=(0.05,))
        thread.start()
        yield one
        one.shutdown()
        thread.join()


@pytest.fixture(scope="module", params=["projector", "telephone"])
def browser(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    is_telephone = request.param == "telephone"
    screen = TELEPHONE if is_telephone else PROJECTOR
    with browsers.browser(tmp_path_factory.mktemp("chromium"), screen, is_telephone) as one:
        yield one


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Browser]:
    """The page as it begins, ready."""
    open_page(browser, server, "")
    yield browser
    assert browser.complaints() == []


def open_page(browser: Browser, server: Server, fragment: str) -> None:
    browser.open("about:blank")
    browser.open(server.url + fragment)
    browser.wait("window.playground?.picture() && playground.settings()")
    browser.wait("document.querySelector('#data').value === playground.settings().data")


def keep(browser: Browser, name: str) -> None:
    if PICTURES:
        width = browser.run("return innerWidth")
        browser.screenshot(pathlib.Path(PICTURES) / f"{name}-{width}.png")


def test_a_spiral_is_separated_and_frames_are_drawn(page: Browser) -> None:
    assert page.text("#run") == "Start"
    keep(page, "begin")
    page.click("#run")
    seconds = page.wait("playground.picture().accuracies[1] >= 0.95", seconds=20)
    page.wait("playground.framesInASecond() >= 30", seconds=20)
    frames = page.run("return playground.framesInASecond()")
    print(f"\n95 % of the test points after {seconds:.1f} s; {frames} frames in a second")
    keep(page, "separated")
    page.click("#run")
    page.wait("!playground.picture().running")
    assert page.text("#run") == "Start"


def test_the_page_fits_the_screen(page: Browser) -> None:
    """Nothing wider than the screen; on a projector nothing below it."""
    width, height = page.run("return [innerWidth, innerHeight]")
    assert page.run("return document.documentElement.scrollWidth") <= width
    if width > 1000:
        assert page.run("return document.documentElement.scrollHeight") <= height
        overflowing = (
            "return [...document.querySelectorAll('section')].filter(s => s.scrollHeight > s.clientHeight + 1).length"
        )
        assert page.run(overflowing) == 0
    else:
        small = (
            "return [...document.querySelectorAll('button, select')].filter(b => b.offsetHeight < 40).map(b => b.id)"
        )
        assert page.run(small) == []


def test_steps_and_reset(page: Browser) -> None:
    first = page.run("return playground.picture().weights")
    for _ in range(3):
        page.click("#step")
    page.wait("playground.picture().steps === 3")
    assert page.run("return playground.picture().weights") != first
    page.click("#reset")
    page.wait("playground.picture().steps === 0")
    assert page.run("return playground.picture().weights") == first


def test_the_link_keeps_the_state(page: Browser, server: Server) -> None:
    page.choose("#data", "xor")
    page.choose("#activation", "tanh")
    page.choose("#lr", "0.1")
    page.click("#hidden .layer:nth-child(2) button:first-child")  # fewer neurons in the first layer
    page.click("#hidden .layer:nth-child(1) button:last-child")  # one layer more
    page.wait("location.hash.includes('hidden=7,8,8')")
    for _ in range(2):
        page.click("#step")
    page.wait("playground.picture().steps === 2")
    fragment, weights = page.run("return [location.hash, playground.picture().weights]")
    open_page(page, server, fragment)
    page.wait("playground.picture().weights.length === 4")
    shown = page.run("return ['data', 'activation', 'lr'].map(id => document.getElementById(id).value)")
    assert shown == ["xor", "tanh", "0.1"]
    for _ in range(2):
        page.click("#step")
    page.wait("playground.picture().steps === 2")
    assert page.run("return playground.picture().weights") == weights


def test_a_wrong_link_is_the_beginning(page: Browser, server: Server) -> None:
    open_page(page, server, "#data=zebra&hidden=9,1&lr=NaN&n=1e9&noise=0.07&onclick=x&__proto__=1")
    settings = page.run("return playground.settings()")
    assert (settings["data"], settings["hidden"], settings["lr"], settings["n"]) == ("spiral", [8, 8], 0.03, 400)
    assert page.run("return document.getElementById('noise').value") == "0.07"


def test_a_neuron_is_shown_large(page: Browser) -> None:
    script = """
        const canvas = document.getElementById('network');
        canvas.scrollIntoView();
        const {left, top, height} = canvas.getBoundingClientRect();
        const place = {clientX: left + 12, clientY: top + height / 2 - 20};
        canvas.dispatchEvent(new MouseEvent('click', place));
        return document.getElementById('shown').textContent;
    """
    assert page.run(script) == "Input x1"
    assert page.run(script) == "Decision region"


@pytest.mark.parametrize("data", ["circle", "gaussian", "xor"])
def test_other_data(page: Browser, server: Server, data: str) -> None:
    open_page(page, server, f"#data={data}&hidden=4,4,4,4&activation=tanh&penalty=l2")
    page.wait("playground.picture().weights.length === 5")
    page.click("#run")
    page.wait("playground.picture().accuracies[1] >= 0.95", seconds=20)
    page.click("#test_points")
    keep(page, data)
    for part in ("network", "settings"):
        page.run(f"document.querySelector('section.{part}').scrollIntoView()")
        keep(page, f"{data}-{part}")


def test_a_forgotten_session_begins_again(page: Browser, server: Server) -> None:
    """There is room for some, and others have come."""
    for _ in range(MOST_SESSIONS):
        server.worker.answer({"do": "open"})
    page.click("#step")
    page.wait("playground.picture().steps === 1")
    complaints = page.complaints()
    assert len(complaints) == 1 and "410 (Gone)" in complaints[0]
