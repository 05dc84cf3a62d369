"""`fastnn demo sparse`: autoencoders whose hidden units are seldom on, and what the units then stand for."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn
from fastnn.demos.tables import table
from fastnn.gate.arrays import Array

SIDE, IMAGE = 6, 8  # units are shown in 6 rows of 6, pictures of 8 x 8 pixels
HIDDEN, L2 = SIDE * SIDE, 1e-3
EPOCHS, BATCH_SIZE, RATE = 60, 100, 0.01
PENALTIES: dict[str, Any] = {
    "none": None,
    "L1, 0.05": fastnn.models.SparseL1(0.05),
    "KL, rate 0.05": fastnn.models.SparseKL(rate=0.05, weight=0.5),
}


@functools.lru_cache(maxsize=len(PENALTIES))
def train(name: str, seed: int = 0) -> fastnn.models.MultiTask:
    """An autoencoder with this penalty on its hidden units, trained on the digits' pixels."""
    (x, _), _ = fastnn.datasets.load_digits()
    rng, penalty = np.random.default_rng(seed), fastnn.Regularization(l2=L2)
    encoder = fastnn.Network([fastnn.Affine(64, HIDDEN), fastnn.Sigmoid()], rng=rng, regularization=penalty)
    decoder = fastnn.Network([fastnn.Affine(HIDDEN, 64)], "mean_squared_error", rng=rng, regularization=penalty)
    heads: dict[str, Any] = {"x": decoder}
    if PENALTIES[name] is not None:
        heads["sparse"] = PENALTIES[name]
    model = fastnn.models.MultiTask(encoder, heads)
    optimizer = fastnn.Adam(lr=RATE)
    model.fit(x, {"x": x}, epochs=EPOCHS, batch_size=BATCH_SIZE, optimizer=optimizer, rng=seed, progress=False)
    return model


def activations(model: fastnn.models.MultiTask) -> Array:
    """The hidden units' outputs (N, H) for the test digits."""
    _, (x, _) = fastnn.datasets.load_digits()
    return model.trunk.predict(x)


def error(model: fastnn.models.MultiTask) -> float:
    """The root of the mean squared error of the test digits' pixels."""
    _, (x, _) = fastnn.datasets.load_digits()
    return fastnn.root_mean_squared_error(model.predict(x)["x"], x)


def run(say: Callable[[str], None], seed: int = 0) -> None:
    """Print how active the hidden units are with each penalty."""
    (x, _), (x_test, _) = fastnn.datasets.load_digits()
    say(f"Autoencoders 64-{HIDDEN}-64 with sigmoid on {len(x):,} digits, measured on {len(x_test)} others")
    say("activation: mean over units and digits; off: the share of outputs below 0.1")
    say("least, most: means of single units; error: root mean square of the pixels\n")
    rows = []
    for name in PENALTIES:
        model = train(name, seed)
        h = activations(model)
        means = h.mean(axis=0)
        figures = (h.mean(), np.mean(h < 0.1), means.min(), means.max(), error(model))
        rows.append([name, *(f"{figure:.3f}" for figure in figures)])
    say(table(("penalty", "activation", "off", "least", "most", "error"), rows, text_columns=1))
    say(
        "\nWithout a penalty each unit answers half-way to most digits, and only all of\n"
        "them together tell what a digit is. A penalty makes units pay for being on:\n"
        "they are off for most digits, stand for fewer parts, and the error is larger.\n"
        "L1 asks for small outputs and does not mind whose: some units are hardly ever\n"
        "on. KL asks all for the same mean, so that each is kept, and none is on for\n"
        "most digits."
    )


def _mosaic(pictures: Array) -> Array:
    """Pictures (H, 64), each divided by its largest size, in rows with gaps."""
    step = IMAGE + 1
    drawn = np.full((SIDE * step - 1, SIDE * step - 1), np.nan)
    for unit, picture in enumerate(pictures):
        top, left = unit // SIDE * step, unit % SIDE * step
        drawn[top : top + IMAGE, left : left + IMAGE] = picture.reshape(IMAGE, IMAGE) / np.abs(picture).max()
    return drawn


def pictures(seed: int = 0) -> dict[str, Any]:
    """What each unit adds to an image, by penalty, and how often units have which outputs."""
    from fastnn.plots import panels

    axes = panels.new(len(PENALTIES), len(PENALTIES), (3.6, 3.9), managed=False)
    ax = panels.new(1, 1, (6.4, 4.8), managed=False)[0]
    for place, (name, panel) in enumerate(zip(PENALTIES, axes, strict=True)):
        model = train(name, seed)
        h = activations(model)
        panel.imshow(_mosaic(model.heads["x"].params["W1"]), cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
        panel.set_title(f"{name}\nmean activation {h.mean():.3f}", fontsize="medium")
        panel.set_axis_off()
        ax.hist(h.ravel(), np.linspace(0, 1, 41), histtype="step", linewidth=2, color=panels.COLORS[place], label=name)
    axes[0].figure.suptitle("What each hidden unit adds to an image (red) and takes from it (blue)")
    ax.grid(**panels.GRID)
    ax.set(xlabel="output of a hidden unit", ylabel="number of units and digits", yscale="log", xlim=(0, 1))
    ax.set_title("Outputs of the hidden units for other digits")
    ax.legend(title="penalty")
    return {"sparse-features": axes[0], "sparse-activations": ax}
