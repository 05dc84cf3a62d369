"""One network on one data set: it trains for a while, and says what a page draws."""

import base64
import time
from typing import Any

import numpy as np

from fastnn import operations
from fastnn.engine.regularization import Regularization
from fastnn.errors import TrainingDivergedError
from fastnn.gate.arrays import Array
from fastnn.layers import Affine, Layer
from fastnn.network.network import Network
from fastnn.playground.settings import DATA, Settings

SIDE = 48  # of a region, in squares
EDGE = 1.2  # regions show both coordinates from -EDGE to EDGE
MOST_RECORDS = 400  # of a curve
SECONDS_OF_DELAY = 0.25  # after a pause, no more steps than these seconds have are made up for
DATA_SEED, WEIGHTS_SEED, ORDER_SEED = range(3)


def grid() -> Array:
    """The middles of the squares of a region (SIDE^2, 2), row after row from the upper left."""
    middles = EDGE * ((2.0 * np.arange(SIDE) + 1.0) / SIDE - 1.0)
    first, second = np.meshgrid(middles, -middles)
    return np.stack([first.ravel(), second.ravel()], axis=1).astype(np.float32)


GRID = grid()


class Session:
    """A training that can be watched, changed and begun again; the seed decides all of it."""

    def __init__(self, settings: Settings) -> None:
        self.is_running, self.data_version = False, 0
        self.settings = settings
        self.reset()

    def reset(self) -> None:
        """Begin again: the seed's points, weights and order."""
        settings = self.settings
        self.data_version += 1
        x, t = DATA[settings.data](2 * settings.n, settings.noise, self._generator(DATA_SEED))
        self.train_part, self.test_part = (x[: settings.n], t[: settings.n]), (x[settings.n :], t[settings.n :])
        self.network = self._network()
        self.optimizer = self._optimizer()
        self.steps, self.epochs, self.problem = 0, 0, ""
        self._order = self._generator(ORDER_SEED)
        self._waiting = np.empty(0, np.intp)  # samples of this epoch that no step has seen
        self._every, self.records = 1, list[tuple[int, float, float]]()
        self._since = time.perf_counter()
        self._record()

    def change(self, settings: Settings) -> None:
        """Go on by other settings, or begin again where these are another problem."""
        before, self.settings = self.settings, settings
        if not before.is_same_problem(settings):
            self.reset()
            return
        if (before.penalty, before.strength) != (settings.penalty, settings.strength):
            params = self.network.params
            self.network = self._network()
            for name, value in params.items():
                self.network.params[name][...] = value
        if (before.optimizer, before.lr) != (settings.optimizer, settings.lr):
            self.optimizer = self._optimizer()
        self._since = time.perf_counter()

    def start(self) -> None:
        """Let `train` train."""
        self.is_running, self._since = not self.problem, time.perf_counter()

    def pause(self) -> None:
        """Let `train` do nothing."""
        self.is_running = False

    def stop(self, problem: str) -> None:
        """Pause until `reset`, and say why."""
        self.is_running, self.problem = False, problem

    def step(self) -> None:
        """One step, and a point of the curves."""
        self._step()
        self._record()

    def train(self, seconds: float) -> int:
        """Train for at most so long, and at most at the speed that is set; the number of steps."""
        begin, before = time.perf_counter(), self.steps
        most = self._due(begin)
        while self.is_running and self.steps - before < most and time.perf_counter() - begin < seconds:
            self._step()
        if self.steps > before:
            self._record()
        return self.steps - before

    def _due(self, now: float) -> float:
        """How many steps the speed allows by now."""
        speed = self.settings.speed
        if not speed:
            return np.inf
        self._since = max(self._since, now - SECONDS_OF_DELAY - 1.0 / speed)
        due = int((now - self._since) * speed)
        self._since += due / speed
        return due

    def _step(self) -> None:
        if self.problem:
            return
        if not len(self._waiting):
            self._waiting = self._order.permutation(self.settings.n)
        rows, self._waiting = np.split(self._waiting, [self.settings.batch])
        x, t = self.train_part
        try:
            self.network.step(x[rows], t[rows], self.optimizer)
        except TrainingDivergedError:
            self.stop("The training has diverged: choose a smaller learning rate, and reset.")
            return
        self.steps += 1
        self.epochs += not len(self._waiting)

    def _record(self) -> None:
        """A point of both curves; of a long training each second one goes, again and again."""
        if self.records and (self.steps - self.records[-1][0] < self._every or self.problem):
            return
        losses = [self.network.loss(*part, check_finite=False) for part in (self.train_part, self.test_part)]
        if not np.isfinite(losses).all():
            return
        self.records.append((self.steps, losses[0], losses[1]))
        if len(self.records) > MOST_RECORDS:
            self.records = self.records[::2]
            self._every = max(2 * self._every, self.steps // MOST_RECORDS)

    def _generator(self, purpose: int) -> np.random.Generator:
        return np.random.default_rng((self.settings.seed, purpose))

    def _network(self) -> Network:
        settings, layers, width = self.settings, list[Layer](), 2
        for outputs in settings.hidden:
            layers += [Affine(width, outputs), operations.ACTIVATIONS[settings.activation]()]
            width = outputs
        penalty: dict[str, Any] = {} if settings.penalty == "none" else {settings.penalty: settings.strength}
        return Network(
            [*layers, Affine(width, 1)],
            loss="sigmoid_cross_entropy",
            rng=self._generator(WEIGHTS_SEED),
            n_threads=1,
            regularization=Regularization(**penalty),
        )

    def _optimizer(self) -> Any:
        kinds = {name.lower(): kind for name, kind in operations.OPTIMIZERS.items()}
        return kinds[self.settings.optimizer](lr=self.settings.lr)

    def picture(self, known_version: int = 0) -> dict[str, Any]:
        """What a page draws; the points only where the page has those of another version."""
        outputs = self.network.outputs_of_layers(GRID, check_finite=False)
        regions = [_shades_of_chances(outputs[-1]), *map(_shades, outputs[1::2])]
        weights = [value for name, value in self.network.params.items() if name.startswith("W")]
        answer: dict[str, Any] = {
            "running": self.is_running,
            "problem": self.problem,
            "steps": self.steps,
            "epochs": self.epochs,
            "accuracies": [self.network.accuracy(*part, check_finite=False) for part in self._parts()],
            "records": self.records,
            "weights": [np.nan_to_num(value).round(3).tolist() for value in weights],
            "side": SIDE,
            "edge": EDGE,
            "regions": base64.b64encode(b"".join(region.tobytes() for region in regions)).decode("ascii"),
            "version": self.data_version,
        }
        if known_version != self.data_version:
            answer["points"] = [{"x": np.round(x, 3).astype(float).tolist(), "t": t.tolist()} for x, t in self._parts()]
        return answer

    def _parts(self) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        return self.train_part, self.test_part


def _shades_of_chances(logits: Array) -> Array:
    """Bytes from 0, surely class 0, to 255."""
    chances = 0.5 + 0.5 * np.tanh(0.5 * np.nan_to_num(logits))
    shades: Array = np.rint(255.0 * chances).astype(np.uint8)
    return shades


def _shades(outputs: Array) -> Array:
    """A row of bytes for each neuron: 128 for 0, and 1 or 255 for its largest absolute output."""
    columns = np.nan_to_num(outputs.T)
    largest = np.maximum(np.abs(columns).max(axis=1, keepdims=True), np.float32(1e-6))
    shades: Array = np.rint(128.0 + 127.0 * (columns / largest)).astype(np.uint8)
    return shades
