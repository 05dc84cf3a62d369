"""`fastnn playground`: a page in the browser on which small networks learn."""

import argparse
import errno
import webbrowser

from fastnn.command import options as common

PORT = 8421


def add(commands: common.Commands) -> None:
    """Add the command to the subparsers of fastnn.command.cli."""
    description = "Watch small networks learn, on a page in the browser. It is served to this machine alone."
    parser = common.command(commands, "playground", run, description)
    parser.add_argument("--port", type=int, default=PORT, metavar="N", help=f"0 for any that is free ({PORT})")
    parser.add_argument("--no-browser", action="store_true", help="print the address, and open nothing")


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    from fastnn.gate import arrays
    from fastnn.playground.server import Server

    port = arrays.integer("port", options.port, 0, 2**16 - 1)
    try:
        server = Server(port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        taken = f"port: expected a free port, got {port}, which another program has; pass --port 0 for any free one"
        raise OSError(taken) from error
    with server:
        if options.json:
            common.print_json({"url": server.url})
        else:
            print(f"The playground is at {server.url} until Ctrl-C")
        print(end="", flush=True)
        if not options.no_browser:
            webbrowser.open(server.url)
        server.serve_forever()
    return 0
