"""The playground's sessions, its worker and its server, without a browser."""

import base64
import http.client
import json
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.command.cli import main
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.playground import session as sessions
from fastnn.playground import settings, worker
from fastnn.playground.server import MOST_BYTES, MOST_CONNECTIONS, Server
from fastnn.playground.session import Session
from fastnn.playground.settings import Settings
from tests.commands import PYTHON_M, Output, assert_error, variables

needs_compiler = pytest.mark.skipif(JIT_DISABLED, reason="slow with NUMBA_DISABLE_JIT=1")
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

# --- settings ----------------------------------------------------------------------------------------


def test_settings() -> None:
    assert Settings.of({}) == Settings()
    assert Settings.of({"hidden": [3], "data": "xor", "lr": 1}) == Settings(hidden=(3,), data="xor", lr=1.0)
    described = settings.described()
    assert Settings.of(described["defaults"]) == Settings()
    assert set(described["choices"]) | set(described["ranges"]) | {"hidden"} == set(described["defaults"])


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ([], "settings: expected an object"),
        ({"file": "/etc/passwd"}, "settings: expected names out of"),
        ({"data": "moons"}, "data: expected one of"),
        ({"n": 1001}, "n: expected an integer of at least 10 and of at most 1000, got 1001"),
        ({"n": True}, "n: expected an integer"),
        ({"noise": float("nan")}, "noise: expected a finite number"),
        ({"lr": "0.1"}, "lr: expected a finite number"),
        ({"hidden": [1] * 5}, "hidden: expected a list of at most 4 widths"),
        ({"hidden": "8"}, "hidden: expected a list"),
        ({"hidden": [2, 9]}, r"hidden\[1\]: expected an integer of at least 1 and of at most 8, got 9"),
        ({"activation": "softmax"}, "activation: expected one of"),
    ],
)
def test_settings_are_limited(given: Any, problem: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{problem}"):
        Settings.of(given)


# --- a session ---------------------------------------------------------------------------------------


def region(picture: dict[str, Any], number: int) -> Any:
    side = picture["side"]
    return np.frombuffer(base64.b64decode(picture["regions"]), np.uint8).reshape(-1, side, side)[number]


def test_the_seed_decides_all() -> None:
    one, two, other = Session(Settings()), Session(Settings()), Session(Settings(seed=1))
    one.start()
    while not one.train(0.01):
        pass
    for _ in range(one.steps):
        two.step()
    assert one.picture()["weights"] == two.picture()["weights"] != other.picture()["weights"]
    one.reset()
    assert one.picture()["weights"] == Session(Settings()).picture()["weights"]


def test_a_picture_is_of_the_network() -> None:
    one = Session(Settings(hidden=(3, 2), n=50))
    for _ in range(20):
        one.step()
    picture = one.picture()
    assert (picture["steps"], picture["epochs"]) == (20, 4)
    assert [np.shape(one) for one in picture["weights"]] == [(2, 3), (3, 2), (2, 1)]
    middles = (np.arange(sessions.SIDE) + 0.5) / sessions.SIDE * 2 * sessions.EDGE - sessions.EDGE
    params = {name: value.astype(float) for name, value in one.network.params.items()}
    for row, column in ((0, 0), (0, 47), (13, 31)):
        point = np.array([middles[column], -middles[row]])  # the first row is the upper one
        first = np.maximum(point @ params["W1"] + params["b1"], 0)
        logit = np.maximum(first @ params["W2"] + params["b2"], 0) @ params["W3"] + params["b3"]
        assert abs(int(region(picture, 0)[row, column]) - 255 / (1 + np.exp(-logit[0]))) <= 0.6
    assert len(base64.b64decode(picture["regions"])) == (1 + 3 + 2) * sessions.SIDE**2
    for number in range(1, 6):
        assert region(picture, number).min() >= 128  # no output of Relu is below 0
    assert [len(part["t"]) for part in picture["points"]] == [50, 50]
    assert "points" not in one.picture(picture["version"])
    losses = [one.network.loss(*part) for part in (one.train_part, one.test_part)]
    assert picture["records"][-1] == (20, *losses)


def test_changes_keep_what_they_can() -> None:
    one = Session(Settings())
    for _ in range(5):
        one.step()
    weights, version = one.picture()["weights"], one.data_version
    one.change(Settings(lr=0.1, batch=3, optimizer="adam", penalty="l2", strength=0.1))
    assert (one.picture()["weights"], one.steps, one.data_version) == (weights, 5, version)
    assert one.network.regularization == fastnn.Regularization(l2=0.1)
    one.change(Settings(hidden=(2,)))
    assert one.steps == 0 and one.data_version > version and len(one.picture()["weights"]) == 2


def test_a_long_training_keeps_short_curves() -> None:
    one = Session(Settings(hidden=(), n=10))
    for _ in range(3000):
        one.step()
    steps = [record[0] for record in one.records]
    assert steps[0] == 0 and steps[-1] > 2900 and steps == sorted(set(steps))
    assert 100 < len(steps) <= sessions.MOST_RECORDS


def test_the_speed_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("fastnn.playground.session.time.perf_counter", lambda: clock[0])
    one = Session(Settings(speed=10))
    one.start()
    for now in (0.05, 0.11, 0.15, 0.2, 0.31):
        clock[0] = now
        one.train(1.0)
    assert one.steps == 3
    clock[0] = 60.0  # nobody watched
    one.train(1.0)
    assert one.steps <= 3 + 4


def test_a_diverging_training_says_so() -> None:
    one = Session(Settings(lr=10.0, optimizer="sgd", activation="identity", hidden=(8, 8, 8, 8), noise=1.0))
    one.start()
    until = time.perf_counter() + 20
    while one.is_running and time.perf_counter() < until:
        one.train(0.1)
    assert "diverged" in one.problem and not one.is_running
    json.dumps(one.picture(), allow_nan=False)
    one.start()
    assert not one.is_running
    one.reset()
    assert one.problem == ""


@needs_compiler
@pytest.mark.parametrize("data", settings.DATA)
def test_all_data_are_learned(data: str) -> None:
    """The spiral, too, to 95 % of points that it was not trained on, within 20 s of training."""
    one = Session(Settings(data=data))
    one.start()
    trained = 0.0
    while one.picture()["accuracies"][1] < 0.95 and trained < 20:
        begin = time.perf_counter()
        one.train(0.1)
        trained += time.perf_counter() - begin
    assert one.picture()["accuracies"][1] >= 0.95
    print(f"\n{data}: 95 % after {trained:.1f} s")


# --- the server --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as one:
        thread = threading.Thread(target=one.serve_forever, args=(0.05,))
        thread.start()
        yield one
        one.shutdown()
        thread.join()


def post(server: Server, request: Any, headers: dict[str, str] | None = None, path: str = "session") -> Any:
    data = request if isinstance(request, bytes) else json.dumps(request).encode()
    sent = {"Content-Type": "application/json", **(headers or {})}
    with DIRECT.open(urllib.request.Request(server.url + path, data, sent), timeout=60) as reply:
        return json.load(reply)


def refusal(*arguments: Any) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(*arguments)
    with caught.value as error:
        return error.code, json.load(error)["error"]


def test_files_are_the_package_s(server: Server) -> None:
    folder = pathlib.Path(fastnn.__file__).parent / "playground" / "page"
    for file in folder.iterdir():
        with DIRECT.open(server.url + file.name, timeout=60) as reply:
            assert reply.read() == file.read_bytes()
            policy = reply.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "http" not in policy
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "//" not in text.replace("// ", "") or "http" not in text, "nothing comes from elsewhere"
    with DIRECT.open(server.url, timeout=60) as reply:
        assert reply.read() == (folder / "page.html").read_bytes()


@pytest.mark.parametrize(
    "path",
    ["/../server.py", "/%2e%2e/server.py", "//etc/passwd", "/etc/passwd", "/page/page.html", "/..", "/page.html/"],
)
def test_no_other_file_is_read(server: Server, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.request("GET", path)
    assert connection.getresponse().status == 404
    connection.close()


def test_a_session_over_http(server: Server) -> None:
    opened = post(server, {"do": "open", "settings": {"hidden": [2]}})
    name, version = opened["session"], opened["version"]
    assert opened["defaults"]["hidden"] == [8, 8] and len(opened["weights"]) == 2
    assert post(server, {"do": "step", "session": name, "version": version})["steps"] == 1
    assert post(server, {"do": "start", "session": name})["running"] is True
    until = time.perf_counter() + 60
    while post(server, {"do": "picture", "session": name})["steps"] == 1 and time.perf_counter() < until:
        pass
    paused = post(server, {"do": "pause", "session": name})
    assert paused["steps"] > 1
    assert post(server, {"do": "picture", "session": name})["steps"] == paused["steps"]
    changed = post(server, {"do": "change", "session": name, "settings": {"hidden": [2, 3]}, "version": version})
    assert len(changed["weights"]) == 3 and "points" in changed


def test_requests_that_are_refused(server: Server) -> None:
    assert refusal(server, b"{")[0] == 400
    assert refusal(server, b"[" * 3000)[0] == 400
    assert refusal(server, b"\xff")[0] == 400
    assert refusal(server, {"do": "close"}) == (400, f"do: expected one of {', '.join(worker.ACTIONS)}")
    assert refusal(server, {"do": "open", "settings": {"n": 10**9}})[0] == 400
    assert refusal(server, {"do": "step", "session": "guess"})[0] == 410
    assert refusal(server, b" " * (MOST_BYTES + 1))[0] == 413
    assert refusal(server, {"do": "open"}, {"Content-Type": "text/plain"})[0] == 415
    assert refusal(server, {"do": "open"}, {"Origin": "https://example.org"})[0] == 403
    assert refusal(server, {"do": "open"}, {"Host": f"example.org:{server.server_port}"})[0] == 403
    assert refusal(server, {"do": "open"}, None, "other")[0] == 404
    assert post(server, {"do": "open"}, {"Host": f"localhost:{server.server_port}"})["steps"] == 0


def test_it_listens_to_this_machine_alone(server: Server) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1"


def test_connections_are_limited(server: Server) -> None:
    idle = [socket.create_connection(("127.0.0.1", server.server_port)) for _ in range(MOST_CONNECTIONS + 8)]
    time.sleep(0.2)
    assert threading.active_count() < MOST_CONNECTIONS + 16
    for one in idle:
        one.close()
    until = time.perf_counter() + 20
    while time.perf_counter() < until:
        try:
            assert post(server, {"do": "open"})["steps"] == 0
            return
        except (OSError, http.client.HTTPException):  # the places are not yet free
            time.sleep(0.05)
    pytest.fail("the places of closed connections stay taken")


def test_the_latest_sessions_stay(server: Server) -> None:
    names = [post(server, {"do": "open"})["session"] for _ in range(worker.MOST_SESSIONS + 1)]
    assert refusal(server, {"do": "step", "session": names[0]})[0] == 410
    assert post(server, {"do": "step", "session": names[1]})["steps"] == 1


def test_an_unwatched_session_waits(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "SECONDS_AWAY", 0.0)
    name = post(server, {"do": "open"})["session"]
    post(server, {"do": "start", "session": name})
    time.sleep(0.1)
    assert post(server, {"do": "picture", "session": name})["steps"] == 0


def test_a_broken_session_leaves_the_others(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    name = post(server, {"do": "open"})["session"]
    monkeypatch.setattr(Session, "train", lambda *_: 1 / 0)
    post(server, {"do": "start", "session": name})
    time.sleep(0.1)
    answer = post(server, {"do": "picture", "session": name})
    assert (answer["running"], answer["problem"]) == (False, "division by zero")


@needs_compiler
@pytest.mark.skipif(sys.platform == "win32", reason="time.process_time_ns is coarse")
def test_sessions_share_one_processor(server: Server) -> None:
    """Three that train, and are drawn as quickly as can be, by two clients: in a process of its own."""
    script = """
import json, threading, time, urllib.request
from fastnn.playground.server import Server
with Server() as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    def post(**request):
        request = urllib.request.Request(server.url + "session", json.dumps(request).encode(), KIND)
        return json.load(urllib.request.urlopen(request))
    KIND = {"Content-Type": "application/json"}
    names = [post(do="open", settings={"hidden": [8, 8, 8, 8]})["session"] for _ in range(3)]
    [post(do="start", session=name) for name in names]
    begin, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - begin < 2:
        [post(do="picture", session=name) for name in names]
    print((time.process_time() - used) / (time.perf_counter() - begin))
    server.shutdown()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=variables(), timeout=120)
    assert float(done.stdout) < 1.15, done.stderr


# --- the command -------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="sends the signal of Ctrl-C")
def test_command_until_ctrl_c() -> None:
    command = [*PYTHON_M, "playground", "--port", "0", "--no-browser", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables()) as process:
        assert process.stdout is not None
        printed = "".join(process.stdout.readline() for _ in range(3))
        with DIRECT.open(json.loads(printed)["url"], timeout=60) as reply:
            assert b"<title>fastnn playground</title>" in reply.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130  # as of a shell's own commands


def test_a_port_that_is_taken(capsys: Output) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = f"--port: expected a free port, got {port}, which another program has; pass --port 0 for any free one"
        assert_error(["playground", "--no-browser", "--port", str(port)], line, capsys)
    assert main(["playground", "--no-browser", "--port", "70000"]) == 1
    assert "--port: expected an integer of at least 0" in capsys.readouterr().err
