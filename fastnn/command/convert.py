"""`fastnn convert`: a network from one kind of file to another."""

import argparse
import os

from fastnn.command import models
from fastnn.command import options as common

EXAMPLES = """The names end in .npz, .safetensors or .onnx.

examples:
  fastnn convert net.npz net.onnx
  fastnn convert net.onnx net.safetensors
An existing file is replaced, unless it is MODEL. ONNX keeps no optimizer. From
a checkpoint, the state of the training is left out. For PyTorch call
fastnn.load("net.npz").to_torch() in Python."""


def add(commands: common.Commands) -> None:
    """Add the command to the subparsers of fastnn.command.cli."""
    parser = common.command(commands, "convert", run, "Write a network to a file of another kind.")
    parser.usage, parser.epilog = "fastnn convert MODEL FILE [options]", EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("model", metavar="MODEL", help="the file to read")
    parser.add_argument("file", metavar="FILE", help="the file to write")


def run(options: argparse.Namespace) -> int:
    """Read the one file and write the other."""
    suffix = os.path.splitext(options.file)[1].lower()
    if suffix not in models.READ:
        remedy = (
            "in Python, torch.save(fastnn.load(MODEL).to_torch(), FILE)" if suffix in (".pt", ".pth") else "rename it"
        )
        came = f"{options.file!r}; {remedy}"
        raise ValueError(f"FILE: expected a name that ends in {', '.join(models.READ[:-1])} or .onnx, got {came}")
    common.check_different([options.model], [("FILE", options.file)])
    common.check_place("FILE", options.file, is_network=False)
    network = models.load(options.model)
    lost = ["the optimizer's state"] if suffix == models.ONNX and network.engine.state_owner else []
    lost += ["the training's state, which --resume needs"] if models.is_checkpoint(options.model) else []
    with common.naming("FILE"):
        network.to_onnx(options.file) if suffix == models.ONNX else network.save(options.file)
    if options.json:
        about = {"inputs": network.inputs, "outputs": network.outputs, "loss": network.loss_name}
        common.print_json({"model": options.model, "file": options.file, **about, "lost": lost})
    else:
        print(f"{network.summary()}\n\nwritten to {options.file}{', without ' + ' and '.join(lost) if lost else ''}")
        encoding = models.encoding_of(network, options.model)
        if encoding is not None:
            print(f"elsewhere {models.ENCODED}; its inputs are {', '.join(encoding.input_names)}")
    return 0
