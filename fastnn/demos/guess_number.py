"""`fastnn demo guess-number`: a number guessed from "too high" and "too low", which is training in small."""

from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn
from fastnn.demos.tables import table
from fastnn.gate.arrays import Array

LOW, HIGH, FIRST = 0.0, 10.0, 5.0  # the numbers, and the first guess
ROUNDS, CLOSE = 12, 0.05
RATES = (0.1, 0.5, 0.9)


def secret(seed: int = 0) -> float:
    """The number to guess, with one decimal, and not the first guess."""
    drawn = np.random.default_rng(seed).uniform(LOW, HIGH, 10).round(1)
    return float(drawn[np.abs(drawn - FIRST) > 1.0][0])


def by_sign(number: float) -> Array:
    """The guesses (rounds + 1,) of a player who only hears "too high" or "too low": half the last step each time."""
    guesses, step = [FIRST], (HIGH - LOW) / 4
    for _ in range(ROUNDS):
        guesses.append(guesses[-1] - step * float(np.sign(guesses[-1] - number)))
        step /= 2
    return np.array(guesses)


def by_gradient(number: float, rate: float) -> Array:
    """The guesses (rounds + 1,) of one who hears how far, too: descent on the loss (guess - number)^2 / 2."""
    loss = lambda guess: float((guess[0] - number) ** 2 / 2)  # noqa: E731
    return fastnn.gradient_descent(loss, [FIRST], lr=rate, step_num=ROUNDS)[1][:, 0]


def games(seed: int = 0) -> dict[str, Array]:
    """The guesses of each player."""
    number = secret(seed)
    return {"by sign": by_sign(number)} | {f"lr {rate}": by_gradient(number, rate) for rate in RATES}


def answer(error: float) -> str:
    """The words that a guess gets."""
    if abs(error) < CLOSE:
        return "right"
    size = "much " if abs(error) > 2.0 else "a little " if abs(error) < 0.5 else ""
    return f"{size}too {'high' if error > 0 else 'low'}"


def rounds_needed(guesses: Array, number: float) -> str:
    """After how many rounds a guess is close for the first time."""
    close = np.flatnonzero(np.abs(guesses - number) < CLOSE)
    return str(close[0]) if close.size else f"more than {ROUNDS}"


def run(say: Callable[[str], None], seed: int = 0) -> None:
    """Print the guesses of each player, and what the game has of training."""
    number, found = secret(seed), games(seed)
    say(f"A number from {LOW:g} to {HIGH:g}, here {number}; the first guess is {FIRST:g}\n")
    guesses = found[f"lr {RATES[1]}"]
    rows = [[str(n), *(f"{game[n]:.3f}" for game in found.values()), answer(guesses[n] - number)] for n in range(9)]
    say(table(("round", *found, f"answer to lr {RATES[1]}"), rows))
    say(f"\nrounds until the guess is within {CLOSE:g}")
    for name, game in found.items():
        say(f"  {name:<7}  {rounds_needed(game, number)}")
    say(
        "\nThe first guess is the initialization, each new one a forward pass, the answer\n"
        "the loss: its sign says where to go, its size how far. To draw a conclusion from\n"
        "it is back-propagation, and to guess anew a step of gradient descent. Who hears\n"
        "only the sign halves the step each round; who hears the size, too, goes a part\n"
        "of the way, the learning rate."
    )


def pictures(seed: int = 0) -> dict[str, Any]:
    """The guesses of each player by round."""
    from fastnn.plots import panels

    number = secret(seed)
    ax = panels.new(1, 1, (6.4, 4.8), managed=False)[0]
    ax.axhline(number, color="0.4", linestyle="--", label=f"the number, {number}")
    for i, (name, game) in enumerate(games(seed).items()):
        style = {"marker": panels.MARKERS[i], "markersize": 5, "color": panels.COLORS[i]}
        ax.plot(game, **style, label="only too high or low" if i == 0 else f"how far, {name}")
    ax.grid(**panels.GRID)
    ax.set(xlabel="round", ylabel="guess", title="Guessing a number by its loss")
    ax.legend()
    return {"guess-number": ax}
