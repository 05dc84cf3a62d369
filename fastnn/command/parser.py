"""The parser of the command line."""

import argparse
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """argparse with hints in its errors."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            from fastnn.gate.checks import did_you_mean

            error.message += did_you_mean(str(value), [str(one) for one in action.choices or ()])
            raise

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.format_usage()}{self.prog}: error: {message}\nTry '{self.prog} --help'.\n")
