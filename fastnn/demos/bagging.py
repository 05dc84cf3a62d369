"""`fastnn demo bagging`: networks trained on drawn samples vote, on few digits with noisy labels.

Source: Breiman, Bagging predictors, Machine Learning 24 (1996).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn
from fastnn.demos import over_fitting
from fastnn.demos.over_fitting import MISLABELLED, SAMPLES, Part
from fastnn.demos.tables import table

MEMBERS, HIDDEN = 25, 30
OPTIONS: dict[str, Any] = {"epochs": 100, "batch_size": 10, "optimizer": fastnn.SGD(lr=0.1)}


def new_network(rng: np.random.Generator) -> fastnn.Network:
    """A new network, a member or a single one."""
    return fastnn.Network([fastnn.Affine(64, HIDDEN), fastnn.Relu(), fastnn.Affine(HIDDEN, 10)], rng=rng)


def parts(seed: int = 0) -> tuple[Part, Part, Part]:
    """The training samples of `over_fitting`, the test samples, and these with as large a share of wrong labels."""
    train, _, (x, t) = over_fitting.parts(seed)
    return train, (x, t), (x, over_fitting.mislabeled(t, round(len(t) * MISLABELLED / SAMPLES), seed))


def singles(train: Part, seed: int = 0) -> list[fastnn.Network]:
    """As many networks as members, each trained on all samples from other initial weights."""
    networks = []
    for own in range(seed, seed + MEMBERS):
        networks.append(new_network(np.random.default_rng(own)))
        networks[-1].fit(*train, rng=own, progress=False, **OPTIONS)
    return networks


def bag(train: Part, vote: str, seed: int = 0) -> fastnn.Bagging:
    """The trained members; they are the same for both ways to vote."""
    return fastnn.Bagging(new_network, MEMBERS, vote=vote, rng=seed).fit(*train, **OPTIONS)


def run(say: Callable[[str], None], seed: int = 0) -> None:
    """Print the accuracies of single networks, of members, of their votes, and out of bag."""
    train, test, noisy = parts(seed)
    say(f"64-{HIDDEN}-10 on {SAMPLES} digits, {MISLABELLED} of them with a wrong label; {MEMBERS} networks")
    say("test, noisy: the test digits with as large a share of wrong labels\n")
    bags = {vote: bag(train, vote, seed) for vote in ("average", "majority")}
    groups = {"single networks, mean": singles(train, seed), "members, mean": bags["average"].members}
    rows = []
    for name, networks in groups.items():
        means = [np.mean([network.accuracy(*part) for network in networks]) for part in (test, noisy)]
        rows.append([name, *(f"{mean:.4f}" for mean in means), ""])
    for vote, found in bags.items():
        accuracies = (found.accuracy(*test), found.accuracy(*noisy), found.out_of_bag_accuracy)
        rows.append([f"bag, by {vote}", *(f"{accuracy:.4f}" for accuracy in accuracies)])
    say(table(("accuracy of", "test", "test, noisy", "out of bag"), rows, text_columns=1))
    estimate = bags["average"].out_of_bag_accuracy
    error = np.sqrt(estimate * (1.0 - estimate) / SAMPLES)
    say(
        "\nA member sees about 63 % of the samples, some of them several times. Each learns\n"
        "the wrong labels that it sees by heart, but each learns others, and the vote\n"
        "drops what only few of them say. The out-of-bag accuracy needs no test data: on\n"
        "a sample only the members vote that have not seen it. As the labels of the\n"
        f"samples are noisy, it estimates the accuracy on noisy labels; its standard\n"
        f"error with {SAMPLES} samples is {error:.2f}."
    )


def pictures(seed: int = 0) -> dict[str, Any]:
    """The accuracies of single networks and of the vote of the first members of a bag."""
    from fastnn.plots import panels

    train, (x, t), _ = parts(seed)
    members = bag(train, "average", seed).members
    probabilities = np.cumsum([fastnn.softmax(member.predict(x)) for member in members], axis=0)
    alone = [network.accuracy(x, t) for network in singles(train, seed)]
    voted = (probabilities.argmax(axis=2) == t).mean(axis=1)
    ax = panels.new(1, 1, (6.4, 4.8), managed=False)[0]
    counts = range(1, MEMBERS + 1)
    ax.plot(counts, alone, "s", color=panels.COLORS[1], label="single networks on all samples")
    ax.plot(counts, [member.accuracy(x, t) for member in members], "^", color=panels.COLORS[2], label="members")
    ax.plot(counts, voted, "o-", color=panels.COLORS[0], label="vote of the members so far")
    ax.grid(**panels.GRID)
    ax.set(xlabel="network", ylabel="test accuracy", title="Networks that vote")
    ax.set_ylim(bottom=min(alone) - 0.12)  # room for the legend
    ax.legend(loc="lower left")
    return {"bagging": ax}
