"""`sdn`: what can be typed. What each command does is a function of its name in `commands`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from sdn_lib import commands, program
from sdn_lib.errors import near


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status, as `program.run` gives it.

    `sdn doctor` returns 1 for unmet needs. A command line that cannot be parsed prints one line and
    raises SystemExit with status 2.
    """

    def work() -> int | None:
        options = parser().parse_args(arguments)
        return options.command(options)

    return program.run(work, "the same command goes on; what was finished is kept")


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    top = _Parser(prog="sdn", description="Symmetrical Distillation Networks, as a book that runs.")
    top.add_argument("--version", action=_Version, help="say which version this is, and stop")
    listed = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, profile: bool = True) -> argparse.ArgumentParser:
        do = getattr(commands, name)
        said = do.__doc__ or f"{name}."  # none under -OO
        about = said[0].lower() + said[1:].rstrip(".")
        command = listed.add_parser(name, help=about, description=about)
        command.set_defaults(command=do)
        if profile:
            command.add_argument(
                "--profile",
                default="cpu",
                metavar="NAME",
                help="smoke, cpu, gpu, birds, flowers, ... or a JSON file (default: %(default)s)",
            )
        return command

    add("doctor", False)

    add("data")

    command = add("train")
    command.add_argument("name", metavar="RUN", help="evaluator, teacher, text, stage_one, ...")
    command.add_argument("--output-dir", metavar="DIR", help="where this profile's trainings go")

    command = add("evaluate")
    command.add_argument("--run", metavar="RUN", action="append", help="only this run; repeatable")
    command.add_argument("--output-dir", metavar="DIR", help="where this profile's trainings are")
    command.add_argument(
        "--json",
        nargs="?",
        const="",
        metavar="FILE",
        help="print JSON in place of a table, or beside it write FILE",
    )
    command.add_argument(
        "--attributes", type=Path, metavar="DIR", help="of photographs: CUB's, to judge colours by"
    )
    command.add_argument(
        "--trainings", type=int, metavar="N", help="train each student N times, and judge them all"
    )

    command = add("publish")
    command.add_argument("--output-dir", metavar="DIR", help="where this profile's trainings are")
    command.add_argument("--attributes", type=Path, metavar="DIR", help="CUB's, for the colours")
    command.add_argument(
        "--as-they-are", metavar="DIR", help="the same photographs, prepared without --facing"
    )
    command.add_argument("--scores-only", action="store_true", help="keep no networks")
    command.add_argument(
        "--run", action="append", metavar="STUDENT", help="this student alone; repeatable"
    )
    command.add_argument(
        "--against", metavar="PROFILE", help="of photographs: judge beside its stage two"
    )

    command = add("generate")
    command.add_argument("folder", type=Path, help="where the pictures go; resumed when there")
    command.add_argument("--run", default="stage_two", metavar="RUN", help="which student")
    command.add_argument("--output-dir", metavar="DIR", help="where this profile's trainings are")

    command = add("score")
    command.add_argument("folder", type=Path, help="where the pictures are")
    command.add_argument(
        "--inception",
        metavar="FILE",
        help="torch-fidelity's weights of Inception, or 'download'; without it no IS, FID, KID",
    )
    command.add_argument(
        "--efficientnet",
        action="store_true",
        help="a distance beside FID, in the network that judges birds64 and taught nobody",
    )
    command.add_argument("--lpips", action="store_true", help="LPIPS, on downloaded weights")
    command.add_argument("--output-dir", metavar="DIR", help="where this profile's trainings are")

    command = add("sample")
    command.add_argument(
        "captions",
        nargs="*",
        metavar="CAPTION",
        help="what to paint, each in quotes; words that all come without quotes are one caption",
    )
    command.add_argument(
        "--file", type=Path, metavar="FILE", help="captions, one a line (UTF-8; - reads the input)"
    )
    command.add_argument("--run", default="stage_two", metavar="RUN", help="which student")
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="a PNG file")
    command.add_argument("--scale", type=int, default=4, help="magnification (default: 4)")
    command.add_argument("--output-dir", metavar="DIR", help="where this profile's trainings are")

    command = add("reproduce")
    command.add_argument("--chapters", nargs="+", metavar="CHAPTER", help="5, 05 or 05_stage_one")
    command.add_argument("--seed", type=int, default=0, help="seed of the chapters' own draws")
    command.add_argument("--output-dir", metavar="DIR", help="where this profile's trainings go")
    command.add_argument("--fresh", action="store_true", help="run even what is up to date")
    command.add_argument(
        "--workers", type=int, help="chapters at a time (default: as many as fit, up to 4)"
    )
    command.add_argument(
        "-p",
        "--parameter",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="another parameter of every chosen chapter; repeatable",
    )

    command = add("ablate")
    command.add_argument("rows", nargs="*", metavar="ROW", help="full, ... (default: all)")
    command.add_argument("--seeds", type=int, nargs="+", default=[0], help="default: 0")
    command.add_argument("--folder", type=Path, help="default: results/ablation/PROFILE")
    command.add_argument("--workers", type=int, help="rows at a time (default: as many as fit)")
    command.add_argument("--output-dir", metavar="DIR", help="where this profile's trainings are")

    add("book")
    return top


class _Version(argparse.Action):
    """Prints the version; looked up only when it is asked for, as that takes a while."""

    def __init__(self, option_strings: Sequence[str], help: str | None = None, **_: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from sdn_lib import doctor

        print(f"{parser.prog} {doctor.version()}")
        parser.exit()


class _Once(argparse._StoreAction):
    """Stores the value of an option that may be given once."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        given = vars(namespace).setdefault("given", set())
        if option_string and self.dest in given:
            several = f": write {option_string} once, with all" if self.nargs == "+" else ""
            raise argparse.ArgumentError(self, f"it comes twice{several}")
        given.add(self.dest)
        super().__call__(parser, namespace, values, option_string)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and answers an unknown command with the near matches."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register("action", None, _Once)
        self.register("action", "store", _Once)

    def error(self, message: str) -> NoReturn:
        """Print one line and stop with status 2."""
        self.exit(2, f"error: {message} (see `{self.prog} --help`)\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            raise argparse.ArgumentError(
                None, f"unknown command {value!r}: " + near(value, action.choices)
            )
        super()._check_value(action, value)


if __name__ == "__main__":
    sys.exit(main())
