"""`fastnn gradcheck`: compares a network's gradient with difference quotients."""

import argparse

from fastnn.command import networks
from fastnn.command import options as common

EXIT_CODES = "The exit code is 0 where they agree, 1 where they differ, 3 where nobody can tell."


def add(commands: common.Commands) -> None:
    """Add the command to the subparsers of fastnn.command.cli."""
    description = "Compare a network's gradient with difference quotients. The data are some of the digits."
    parser = common.command(commands, "gradcheck", run, f"{description} {EXIT_CODES}")
    add = parser.add_argument
    add("--hidden", type=common.widths, default=[20], metavar="H,H", help="widths of hidden layers; 0 for none (20)")
    names = f"one of {', '.join(common.ACTIVATIONS)} (sigmoid)"
    add("--activation", choices=common.ACTIVATIONS, default="sigmoid", metavar="NAME", help=names)
    names = f"one of {', '.join(common.LOSSES)} ({common.CROSS_ENTROPY})"
    add("--loss", choices=common.LOSSES, default=common.CROSS_ENTROPY, metavar="NAME", help=names)
    add("--samples", type=int, default=50, metavar="N", help="how many digits (50)")
    add("--h", type=float, default=1e-4, metavar="X", help="the largest of three steps (1e-4)")
    add("--dtype", choices=common.DTYPES, default="float32", metavar="NAME", help="float32 or float64 (float32)")
    add("--plot", metavar="FILE", help="draw the errors of all entries as a heat map (needs matplotlib)")
    common.add_seed(parser)


def run(options: argparse.Namespace) -> int:
    """Check the gradient, and return the exit code of the verdict."""
    from fastnn import datasets
    from fastnn.gate import arrays
    from fastnn.gradients.check import AGREE, CANNOT_TELL, DIFFER, check_gradients

    samples = arrays.integer("samples", options.samples, minimum=1)
    generator = arrays.generator("seed", arrays.integer("seed", options.seed, minimum=0))
    (x, t), _ = datasets.load_digits(dtype=options.dtype)
    some = generator.permutation(len(x))[:samples]
    loss = networks.loss_of(options.loss)
    network = networks.network_of(x.shape[1:], networks.CLASSES, options, generator, loss)
    targets = networks.targets_for(loss, t[some], networks.CLASSES, "float32")
    report = check_gradients(network, x[some], targets, h=options.h)
    if options.plot is not None:
        report.plot(options.plot)
    if options.json:
        common.print_json(report.to_dict())
    else:
        print(f"{network.summary()}\n\n{report}")
        if options.plot is not None:
            print(f"drawn in {options.plot}")
    return {AGREE: 0, DIFFER: 1, CANNOT_TELL: 3}[report.verdict]
