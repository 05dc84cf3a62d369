"""Random misuse of public objects: whatever is assigned, returned or changed in place, the process lives on.

    python -m tests.fuzz_attributes FIRST COUNT

Each seed is a short program: a network, perhaps of classes that answer otherwise, and actions on it, at random. Each
ends with a result or a clean exception, and after it a fresh network trains with the bits that it should. A seed is
printed before it begins, so that the last one printed is the one that ended the process.
"""

import copy
import faulthandler
import pathlib
import pickle
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn
from fastnn import datasets, losses, models, optimizers
from fastnn.engine import threads
from fastnn.kernels.compile import JIT_DISABLED
from tests.fuzz_values import Mood, UsersError, other, other_generator
from tests.shapes import LAYERS_OF_ROWS

CLEAN = (TypeError, ValueError, AttributeError, LookupError, OSError, MemoryError, UsersError)
# The errors that Python, NumPy and pickle raise themselves.
PLAIN = (OverflowError, ZeroDivisionError, pickle.PicklingError)
NETWORK = [name for name in dir(fastnn.Network) if not name.startswith("_")] + ["history", "__class__"]
NETWORK += 5 * [name for name in NETWORK if not callable(getattr(fastnn.Network, name, None))]
HISTORY = [name for name in dir(fastnn.History()) if not name.startswith("_")]
OPTIMIZERS = list(optimizers.OPTIMIZER_CLASSES.values())
INPUTS, OUTPUTS = 5, 3


class FoundError(Exception):
    """A seed ended in a way that it must not."""


class Program:
    """The actions of one seed."""

    def __init__(self, seed: int, folder: pathlib.Path) -> None:
        self.draw = Mood(seed)
        self.path = folder / "model.npz"
        self.rows = self.draw.choice([1, 2, 6, 6, 6, 6, 6 if JIT_DISABLED else 150])
        self.log: list[str] = []
        self.theme = self.draw.choice(["layers", "loss", "optimizer", "generator", "all", "none"])
        self.depth = 0
        is_odd = self.theme in ("generator", "all")
        self.generator: Any = other_generator(self.draw) if is_odd else np.random.default_rng(seed)
        self.x = np.random.default_rng(seed).standard_normal((self.rows, INPUTS)).astype(np.float32)
        self.optimizer: Any = self.some_optimizer()
        self.stopping: Any = fastnn.EarlyStopping(2, monitor="loss")
        made = (self.attempt("Network", self.some_network) for _ in range(5))
        self.net: Any = next((net for net in made if net is not None), None)
        if self.net is None:
            self.net = fastnn.Network([fastnn.Affine(INPUTS, 4), fastnn.Affine(4, OUTPUTS)], rng=seed)
        self.t = self.some_targets()

    def run(self) -> None:
        for _ in range(self.draw.randint(5, 15)):
            self.act()

    def attempt(self, name: str, function: Callable[[], Any]) -> Any:
        """The result, or None where it was cleanly refused."""
        self.log.append(name)
        clean = (*CLEAN, *PLAIN) if name in ("assign", "change_in_place", "keep") else CLEAN
        try:
            return function()
        except clean as error:
            self.log.append(f"    {type(error).__name__}: {error.args}"[:200])
            frames = traceback.extract_tb(error.__traceback__)
            is_nan = str(error) == "math domain error"  # of numbers whose root or logarithm the compiled code takes
            if any(pathlib.Path(frame.filename).parent.name == "kernels" for frame in frames) and not is_nan:
                raise FoundError from error  # they check nothing: without the compiler this is an index out of bounds
            return None
        except FoundError:
            raise
        except Exception as error:
            raise FoundError from error

    # --- objects that are made ---

    def perhaps(self, kind: Any, theme: str) -> Any:
        """The class, or another one in its place."""
        return other(kind, self.draw) if self.theme in (theme, "all") and self.draw.random() < 0.7 else kind

    def value(self, right: Any) -> Any:
        """Mostly a right value."""
        return self.draw.bad() if self.draw.random() < 0.05 else right

    def some_optimizer(self) -> Any:
        kind = self.perhaps(self.draw.choice(OPTIMIZERS), "optimizer")
        return self.attempt(f"an {kind.__name__}", lambda: kind(self.value(0.01))) or fastnn.SGD(0.1)

    def some_network(self) -> Any:
        draw, layers, width = self.draw, [], INPUTS
        for _ in range(draw.randint(0, 2)):
            layers.append(self.perhaps(fastnn.Affine, "layers")(width, self.value(4)))
            width = 4
            layers += [self.perhaps(kind, "layers")() for kind in draw.sample(LAYERS_OF_ROWS[1:], draw.randint(0, 2))]
        layers.append(fastnn.Affine(width, OUTPUTS))
        loss = self.perhaps(draw.choice([*losses.LOSSES.values()][:8]), "loss")()
        settings: dict[str, Any] = {
            "n_threads": draw.choice([None, 1, 2]),
            "dtype": draw.choice(["float32", "float64"]),
        }
        settings["regularization"] = (
            self.perhaps(fastnn.Regularization, "optimizer")(l2=0.1) if draw.random() < 0.3 else None
        )
        rng = self.generator if draw.random() < 0.3 else 0
        return fastnn.Network(self.value(layers), self.value(loss), rng=rng, **settings)

    # --- actions ---

    def act(self) -> None:
        actions: list[Callable[[], Any]] = [
            *[self.assign] * 3,
            *[self.change_in_place] * 3,
            *[self.ask] * 4,
            *[self.train] * 6,
            self.keep,
            self.around,
        ]
        action = self.draw.choice(actions)
        self.attempt(action.__name__, action)

    def assign(self) -> None:
        """Assign to an attribute of a public object, even of a frozen one."""
        draw, net = self.draw, self.net
        things = [(net, NETWORK), (net, ["n_threads"]), (net.history, HISTORY), (self.stopping, vars(self.stopping))]
        described = [*net.layers, net.regularization, self.optimizer, net.optimizer]
        things += [(thing, [*vars(thing)]) for thing in described if thing is not None and vars(thing)]
        thing, names = draw.choice([(thing, [*names]) for thing, names in things if thing is not None and names])
        name, value = draw.choice(names), draw.bad()
        text = repr(value) if type(value) in (int, float, str) else type(value).__name__
        self.log.append(f"  {type(thing).__name__}.{name} = {text}")
        if draw.random() < 0.1:
            delattr(thing, name)
        elif draw.random() < 0.8 and thing is not net:
            object.__setattr__(thing, name, value)
        else:
            setattr(thing, name, value)

    def change_in_place(self) -> None:
        """Change an array that can be reached."""
        draw, net = self.draw, self.net
        mapping = draw.choice([net.params, net.params, net.statistics])
        reached = [self.x, self.t, *mapping.values(), *draw.kept]
        reached += [array.base for array in reached if isinstance(getattr(array, "base", None), np.ndarray)]
        reached = [self.x, self.t] if draw.random() < 0.4 else reached
        array = draw.choice([array for array in reached if isinstance(array, np.ndarray)] or [np.ones(3)])
        name = draw.choice([*mapping, "W9"])
        changes: dict[str, Callable[[], Any]] = {
            "shape": lambda: setattr(
                array, "shape", draw.choice([(-1,), (1, -1), (-1, 1), (2, -1), array.shape[::-1]])
            ),
            "dtype": lambda: setattr(array, "dtype", draw.choice([np.int32, np.float64, np.int8, np.intp, ">f4"])),
            "strides": lambda: setattr(array, "strides", draw.choice([array.strides[::-1], (0,) * array.ndim])),
            "read-only": lambda: array.setflags(write=False),
            "writable": lambda: array.setflags(write=True),
            "resize": lambda: array.resize(draw.choice([(1,), (2, 2), (300,)]), refcheck=False),
            "swap": lambda: array.byteswap(inplace=True),
            "fill": lambda: array.fill(draw.choice([np.nan, np.inf, 0, -1, 1e30, 2**40, 1, 2])),
            "assign": lambda: mapping.__setitem__(name, draw.bad()),
            "delete": lambda: mapping.__delitem__(name),
            "write": lambda: mapping[name].__setitem__(..., draw.bad()),
            "transpose": lambda: array.sort(axis=0),
        }
        change = "shape" if draw.random() < 0.3 else draw.choice([*changes])
        self.log.append(f"  {change} {array.shape} {array.dtype} {name}")
        changes[change]()

    def data(self) -> tuple[Any, Any]:
        """Mostly the arrays of this seed; also new ones in the place of changed ones."""
        if self.draw.random() < 0.7 and self.x.shape != (self.rows, INPUTS):
            self.x = np.ones((self.rows, INPUTS), np.float32)
        if self.draw.random() < 0.7 and len(self.t) != self.rows:
            self.t = self.some_targets()
        return self.value(self.x), self.value(self.t)

    def some_targets(self) -> Any:
        labels = np.arange(self.rows) % OUTPUTS
        if losses.LOSSES[self.net.loss_name].compares_classes:
            return labels
        return np.where(np.eye(OUTPUTS)[labels] > 0, 1.0, self.draw.choice([-1.0, 0.0])).astype(self.net.dtype)

    def ask(self) -> Any:
        draw, net = self.draw, self.net
        x, t = self.data()
        finite = self.value(draw.random() < 0.5)
        out = draw.bad() if draw.random() < 0.5 else draw.choice([x, np.empty((self.rows, OUTPUTS), net.dtype)])
        method = draw.choice(["central", "forward", "richardson"])
        questions: dict[str, Callable[[], Any]] = {
            "predict": lambda: net.predict(x, check_finite=finite),
            "predict into": lambda: net.predict(x, out=out, check_finite=finite),
            "loss": lambda: net.loss(x, t, check_finite=finite),
            "accuracy": lambda: net.accuracy(x, t, check_finite=finite),
            "gradient": lambda: net.gradient(x, t, check_finite=finite),
            "numerical gradient": lambda: net.numerical_gradient(x, t, self.value(1e-4), method),
            "of a function": lambda: fastnn.numerical_gradient(lambda _: net.loss(x, t), net.params["W1"]),
            "check": lambda: str(fastnn.check_gradients(net, x, t)),
            "text": lambda: (str(net.summary()), str(net.history), repr(net.params), repr(net.statistics)),
            "repr": lambda: repr(net),
        }
        question = draw.choice([*questions])
        self.log.append(f"  {question}")
        return questions[question]()

    def train(self) -> Any:
        draw, net = self.draw, self.net
        x, t = self.data()
        if draw.random() < 0.3:
            self.optimizer = self.some_optimizer()
        optimizer = self.value(self.optimizer)
        if draw.random() < 0.5:
            return net.step(x, t, optimizer, check_finite=self.value(True))
        settings: dict[str, Any] = {
            "batch_size": draw.choice([None, 1, 2, 4, 100]),
            "optimizer": draw.choice([None, optimizer]),
            "schedule": draw.choice([None, None, lambda *_: self.value(0.5)]),
            "validation_data": draw.choice([None, (x, t)]),
            "shuffle": draw.random() < 0.6,
            "rng": self.generator,
            "callbacks": [self.callback] if self.depth < 2 else [],
            "gradient": draw.choice(["analytic", "analytic", "numerical"]),
            "sample_weight": draw.choice([None, None, np.ones(self.rows)]),
        }
        if draw.random() < 0.3:
            settings["callbacks"] = [*settings["callbacks"], self.stopping]
        if draw.random() < 0.2:
            settings[draw.choice([*settings])] = draw.bad()
        return net.fit(x, t, epochs=draw.choice([0, 1, 3]), progress=False, **settings)

    def callback(self, *given: Any) -> Any:
        self.depth += 1
        try:
            for _ in range(self.draw.randint(0, 2)):
                self.act()
            if self.draw.random() < 0.5:
                self.attempt("change_in_place", self.change_in_place)
        finally:
            self.depth -= 1
        return self.value(False)

    def keep(self) -> None:
        """Put another network in the place of this one: saved, copied or begun anew."""
        draw, net = self.draw, self.net
        way = draw.choice(["save", "pickle", "copy", "initialize"])
        self.log.append(f"  {way}")
        if way == "save":
            net.save(self.path)
            made = fastnn.load(self.path)
        elif way == "initialize":
            net.initialize(self.generator)
            made = net
        else:
            made = pickle.loads(pickle.dumps(net)) if way == "pickle" else copy.deepcopy(net)
        assert made.predict(np.ones((2, INPUTS))).tobytes() == net.predict(np.ones((2, INPUTS))).tobytes()
        self.net = made

    def around(self) -> Any:
        """Call a function that takes generators and networks."""
        x, t = self.x, self.t
        rng, size = self.generator, self.value(2)
        factory = (lambda rng: self.net) if self.draw.random() < 0.3 else (lambda rng: self.some_network())
        uses: dict[str, Callable[[], Any]] = {
            "split": lambda: datasets.train_test_split(x, t, self.value(0.5), rng=rng, stratify=self.value(False)),
            "folds": lambda: list(datasets.k_fold(x, t, size, rng=rng, stratify=False)),
            "batches": lambda: list(datasets.minibatches(x, t, size, rng=rng)),
            "noise": lambda: datasets.add_noise(x, self.value(0.1), rng=rng),
            "shift": lambda: datasets.shift_images(np.ones((6, 9)), self.value(1), rng=rng),
            "perceptron": lambda: models.Perceptron().fit(x, np.arange(len(x)) % 2, shuffle=True, rng=rng, epochs=2),
            "bagging": lambda: fastnn.Bagging(factory, self.value(2), rng=rng, n_jobs=1).fit(x, t, epochs=1),
            "validation": lambda: fastnn.cross_validate(factory, x, t, size, rng=rng, n_jobs=1, epochs=1),
            "restarts": lambda: fastnn.random_restarts(factory, x, t, size, rng=rng, epochs=1),
            "annealing": lambda: fastnn.simulated_annealing(factory, x, t, rng=rng, steps=3),
        }
        use = self.draw.choice([*uses])
        self.log.append(f"  {use}")
        return uses[use]()


def right() -> bytes:
    """The bits of a network that nobody has touched."""
    net = fastnn.Network([fastnn.Affine(INPUTS, 4), fastnn.Relu(), fastnn.Affine(4, OUTPUTS)], rng=0)
    x = np.linspace(-1, 1, 6 * INPUTS, dtype=np.float32).reshape(6, INPUTS)
    net.fit(x, np.arange(6) % OUTPUTS, epochs=2, batch_size=4, optimizer=fastnn.Momentum(0.1), rng=0, progress=False)
    return net.predict(x).tobytes()


def run(seed: int, folder: pathlib.Path, expected: bytes) -> None:
    """Run one seed; FoundError if it ends in a way that it must not."""
    program = None
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            program = Program(seed, folder)
            program.run()
            if right() != expected or threads._chosen is not None:
                raise FoundError("a fresh network trains otherwise")
    except Exception as error:
        raise FoundError("\n".join(program.log if program else [])) from error


def main(first: int, count: int) -> int:
    """Run the seeds and return the number that found an error."""
    faulthandler.enable()
    expected, found = right(), 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(first, first + count):
            print(f"seed {seed}", flush=True)
            try:
                run(seed, pathlib.Path(folder), expected)
            except FoundError:
                traceback.print_exc()
                found += 1
    print(f"done: {found} of {count} seeds found something", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])) > 0)
