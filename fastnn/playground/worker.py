"""The thread on which all sessions train and draw, so that they share one processor."""

import json
import queue
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from fastnn.playground import settings
from fastnn.playground.session import Session

MOST_SESSIONS = 8
SECONDS_OF_A_TURN = 0.01  # how long a session trains before the next request is answered
SECONDS_AWAY = 2.0  # a session that nobody has watched for so long waits
SECONDS_OF_A_NAP = 0.005  # where all sessions train slowly
ACTIONS = ("open", "change", "start", "pause", "step", "reset", "picture")


class UnknownSessionError(LookupError):
    """The session that a page asks for is not, or no longer, there."""


class Worker:
    """Sessions by name, and the thread that alone touches them; `answer` may be called from any thread."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[tuple[Callable[[], bytes], Future[bytes]] | None] = queue.SimpleQueue()
        self._sessions: dict[str, Session] = {}
        self._watched: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="fastnn-playground", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._tasks.put(None)
        self._thread.join()

    def answer(self, request: Any) -> bytes:
        """The answer to a page's request, as JSON.

        Raises TypeError, ValueError for a request that cannot be understood, UnknownSessionError for a session that is
        not there.
        """
        done: Future[bytes] = Future()
        self._tasks.put((lambda: self._answer(request), done))
        return done.result()

    def _run(self) -> None:
        while True:
            is_busy = self._train()
            try:
                task = self._tasks.get(timeout=0.0 if is_busy else self._nap())
            except queue.Empty:
                continue
            if task is None:
                return
            function, done = task
            try:
                done.set_result(function())
            except Exception as error:  # a request's own: whoever waits for the answer gets it
                done.set_exception(error)

    def _train(self) -> bool:
        """Give each session that trains its share of a turn; return whether there was something to do."""
        awake, steps = self._awake(), 0
        for session in awake:
            try:
                steps += session.train(SECONDS_OF_A_TURN / len(awake))
            except Exception as error:  # the other sessions go on
                session.stop(str(error))
        return steps > 0

    def _awake(self) -> list[Session]:
        latest = time.perf_counter() - SECONDS_AWAY
        return [one for name, one in self._sessions.items() if one.is_running and self._watched[name] > latest]

    def _nap(self) -> float | None:
        return SECONDS_OF_A_NAP if self._awake() else None

    def _answer(self, request: Any) -> bytes:
        if not isinstance(request, dict) or request.get("do") not in ACTIONS:
            raise ValueError(f"do: expected one of {', '.join(ACTIONS)}")
        action, version = request["do"], request.get("version", 0)
        if action == "open":
            name = self._open(settings.Settings.of(request.get("settings", {})))
        else:
            name = str(request.get("session"))
            if name not in self._sessions:
                raise UnknownSessionError("this session is no longer here; open another one")
        session = self._sessions[name]
        self._watched[name] = time.perf_counter()
        if action == "change":
            session.change(settings.Settings.of(request.get("settings", {})))
        elif action in ("start", "pause", "step", "reset"):
            getattr(session, action)()
        answer = session.picture(version)
        if action == "open":
            answer |= {"session": name, **settings.described()}
        return json.dumps(answer).encode()

    def _open(self, wanted: settings.Settings) -> str:
        """The name of a new session, in the place of the one that was watched least recently."""
        while len(self._sessions) >= MOST_SESSIONS:
            oldest = min(self._watched, key=lambda name: self._watched[name])
            del self._sessions[oldest], self._watched[oldest]
        name = secrets.token_urlsafe(12)
        self._sessions[name] = Session(wanted)
        return name
