"""The options of `fastnn train`, in groups."""

import argparse

from fastnn.command import options as common
from fastnn.command import specs, table_options
from fastnn.command.parser import Parser

EXAMPLES = """examples:
  fastnn train --save digits.npz
  fastnn train --data houses.csv --target price --save houses.npz
  fastnn train --data flowers.csv --target species --hidden 100,50 \\
      --dropout 0.2 --optimizer adamw:weight_decay=0.01 --schedule cosine \\
      --early-stopping 10
  fastnn train --data sales.csv --target sold --loss huber:delta=0.5 \\
      --layers "affine 100, batch_norm, relu, dropout 0.2, affine 50, tanh"
  fastnn train --data mnist --layers "conv2d 8 5, relu, max_pool2d 2"
After a colon stand VALUE or KEY=VALUE,KEY=VALUE: arguments of fastnn's class of
that name in Python. Existing files are replaced."""


def add(parser: Parser) -> None:
    """Add the options to the parser of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    table_options.add_data(parser.add_argument_group("data"))
    _add_network(parser)
    _add_training(parser)
    _add_running(parser)


def _add_network(parser: Parser) -> None:
    add = parser.add_argument_group("network").add_argument
    add("--hidden", type=common.widths, metavar="H,H", help="widths of hidden layers; 0 for none (50)")
    names = ", ".join(common.ACTIVATIONS)
    add("--activation", choices=common.ACTIVATIONS, metavar="NAME", help=f"after each hidden layer: {names} (relu)")
    add("--batch-norm", action="store_true", help="batch normalization before each activation")
    add("--dropout", type=float, metavar="X", help="after each activation drop this share of its outputs")
    add("--layers", metavar="TEXT", help="in place of these four: all layers but the last, as in the examples")
    names = ", ".join(common.LOSSES)
    usual = "softmax_cross_entropy for classes, sigmoid_cross_entropy for labels, mean_squared_error for numbers"
    add("--loss", type=specs.named(common.LOSSES), metavar="NAME[:..]", help=f"{names} ({usual})")
    add("--l1", type=float, default=0.0, metavar="X", help="penalty: X times the sum of |w| (0)")
    add("--l2", type=float, default=0.0, metavar="X", help="penalty: X / 2 times the sum of w^2 (0)")
    add("--dtype", choices=common.DTYPES, default="float32", metavar="NAME", help="float32 or float64 (float32)")


def _add_training(parser: Parser) -> None:
    add = parser.add_argument_group("training").add_argument
    add("--epochs", type=int, metavar="N", help="passes over the training samples (20; 100 for a table)")
    add("--batch-size", type=int, default=32, metavar="N", help="samples for one step (32)")
    names = ", ".join(common.OPTIMIZERS)
    kind = specs.named(common.OPTIMIZERS)
    add("--optimizer", type=kind, metavar="NAME[:..]", help=f"{names} (sgd; adam for a table)")
    add("--lr", type=float, metavar="X", help="learning rate (0.1; the optimizer's own, if it has an epsilon)")
    add("--momentum", type=float, metavar="X", help="share of the velocity kept, for momentum and nesterov (0.9)")
    add("--schedule", metavar="NAME[:..]", help="how the rate changes: cosine, step_decay:every=10,factor=0.5, ...")
    add("--early-stopping", metavar="N[,..]", help="stop after N epochs without a better validation loss")
    add("--class-weight", metavar="TEXT", help="balanced, or factors of the classes' losses: NAME=X,NAME=X")
    add("--metrics", metavar="NAME,..", help="figures for each epoch, such as r2_score, roc_auc, top_5_accuracy")
    add("--no-shuffle", action="store_true", help="take the samples in the same order in each epoch")
    kinds = common.GRADIENTS
    add("--gradient", choices=kinds, default=kinds[0], metavar="NAME", help="analytic or numerical (analytic)")


def _add_running(parser: Parser) -> None:
    group = parser.add_argument_group("files and running")
    add = group.add_argument
    add("--save", metavar="FILE", help="write the network to a file that fastnn.load reads, .npz or .safetensors")
    add("--log", metavar="FILE", help="write the figures of each epoch to a file of comma-separated values")
    help_text = "after each epoch write all that it takes to go on after a kill; also FILE,every=5,best=FILE"
    add("--checkpoint", metavar="FILE", help=help_text)
    add("--resume", action="store_true", help="go on from the file of --checkpoint, if there is one")
    add("--threads", type=int, metavar="N", help="number of threads, which changes no result (all processors)")
    add("--quiet", action="store_true", help="print the test accuracy alone, or R^2 where numbers are predicted")
    common.add_seed(group)
