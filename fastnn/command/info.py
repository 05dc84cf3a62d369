"""`fastnn info`: what fastnn runs on."""

import argparse

from fastnn.command import options as common


def add(commands: common.Commands) -> None:
    """Add the command to the subparsers of fastnn.command.cli."""
    common.command(commands, "info", run, "Show versions, processor, threads and folders.")


def run(options: argparse.Namespace) -> int:
    """Show the configuration."""
    from fastnn import environment
    from fastnn.engine import threads

    threads.started_layer()  # Numba does not say on which layer its threads are before they are started
    if options.json:
        common.print_json(environment.config())
    else:
        environment.show_config()
    return 0
