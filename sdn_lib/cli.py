"""`sdn`: doctor, data, train, evaluate, publish, generate, score, sample, reproduce, ablate, book.

Heavy imports wait until a command needs them, so that `sdn --help` is quick.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from sdn_lib import program
from sdn_lib.captions import CaptionWarning, quoted, read_captions, remarks
from sdn_lib.errors import SDNError, counted, near

LARGEST = 8192
"""Pixels a side of a PNG of samples: more than this, some viewers refuse."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 1 for unmet needs, 2 for bad input.

    Errors that the book raises on purpose print one line; any other keeps its traceback.
    """

    def work() -> int | None:
        options = parser().parse_args(arguments)
        return options.command(options)

    return program.run(work, "the same command goes on; what was finished is kept")


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    top = _Parser(prog="sdn", description="Symmetrical Distillation Networks, as a book that runs.")
    top.add_argument("--version", action=_Version, help="say which version this is, and stop")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, do: Any, about: str, profile: bool = True) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=about, description=about)
        command.set_defaults(command=do)
        if profile:
            command.add_argument(
                "--profile",
                default="cpu",
                metavar="NAME",
                help="smoke, cpu, gpu, birds, flowers, ... or a JSON file (default: %(default)s)",
            )
        return command

    add("doctor", _doctor, "say what is installed, on what hardware, and what is missing", False)

    add("data", _data, "paint the profile's data set, unless it is there")

    command = add("train", _train, "train a run of the profile, and what it needs")
    command.add_argument("name", metavar="RUN", help="evaluator, teacher, text, stage_one, ...")
    command.add_argument("--output-dir", metavar="DIR", help="where this profile's trainings go")

    command = add("evaluate", _evaluate, "judge the profile's students on unseen species")
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

    command = add("publish", _publish, "measure a profile, keep it and its networks in results/")
    command.add_argument("--output-dir", metavar="DIR", help="where this profile's trainings are")
    command.add_argument("--attributes", type=Path, metavar="DIR", help="CUB's, for the colours")
    command.add_argument(
        "--as-they-are", metavar="DIR", help="the same photographs, prepared without --facing"
    )

    command = add("generate", _generate, "paint every test caption of a profile of photographs")
    command.add_argument("folder", type=Path, help="where the pictures go; resumed when there")
    command.add_argument("--run", default="stage_two", metavar="RUN", help="which student")
    command.add_argument("--output-dir", metavar="DIR", help="where this profile's trainings are")

    command = add("score", _score, "score what `generate` painted, as JSON with its protocol")
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

    command = add("sample", _sample, "paint captions with a trained student")
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

    command = add("reproduce", _reproduce, "run the chapters in order and record what came out")
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

    command = add("ablate", _ablate, "train and judge rows that change one part of the method")
    command.add_argument("rows", nargs="*", metavar="ROW", help="full, pixels, random, ... or all")
    command.add_argument("--seeds", type=int, nargs="+", default=[0], help="default: 0")
    command.add_argument("--folder", type=Path, help="default: results/ablation/PROFILE")
    command.add_argument("--workers", type=int, help="rows at a time (default: as many as fit)")
    command.add_argument("--output-dir", metavar="DIR", help="where this profile's trainings are")

    add("book", _book, "render the executed chapters as HTML")
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


def _profile(options: argparse.Namespace) -> Any:
    from sdn_lib import profiles

    return profiles.load(options.profile, output_dir=getattr(options, "output_dir", None))


def _doctor(_: argparse.Namespace) -> int:
    from sdn_lib import doctor

    return doctor.examine()


def _data(options: argparse.Namespace) -> None:
    profile = _profile(options)
    from sdn_lib import runs

    data = runs.dataset(profile)
    counts = ", ".join(f"{len(data.indices(s)):,} {s}" for s in ("train", "test"))
    print(f"{data.folder}: {counted(len(data.images), 'image')} ({counts})")


def _train(options: argparse.Namespace) -> None:
    profile = _profile(options)
    from sdn_lib import runs

    run = runs.train(options.name, profile)
    if run.how == "loaded":
        print(f"{run.name} is there already: delete {run.folder} to train it again")
        return
    print(
        f"{run.name}: loss {run.log[-1]['total']:.4f} after "
        f"{counted(run.log[-1]['step'], 'step')}, saved in {run.folder}"
    )


def _evaluate(options: argparse.Namespace) -> None:
    profile = _profile(options)
    from sdn_lib import experiments, files, runs
    from sdn_lib.experiments import impartial, trainings

    names, photographs = options.run or runs.STUDENTS, profile.photos is not None
    if options.trainings is not None and options.run:
        raise SDNError("--trainings judges every student: leave --run out")
    if options.attributes and (options.trainings is not None or not photographs):
        raise SDNError("--attributes is for photographs: leave it out")
    if options.json and Path(options.json).is_dir():
        raise SDNError(f"--json {options.json} is a folder: name a JSON file")
    if options.trainings is not None:
        report = trainings.evaluate_trainings(profile, options.trainings)
    elif photographs:
        report = impartial.evaluate(profile, names, options.attributes)
    else:
        report = experiments.evaluate(profile, names)
    to_table = impartial.to_table if photographs else experiments.to_table
    print(json.dumps(report, indent=1) if options.json == "" else to_table(report), flush=True)
    if options.json:
        files.write_json(options.json, report)


def _publish(options: argparse.Namespace) -> None:
    profile = _profile(options)
    from sdn_lib.experiments import showcase

    print(showcase.publish(profile, options.attributes, options.as_they_are))


def _generate(options: argparse.Namespace) -> None:
    profile = _profile(options)
    from sdn_lib.experiments import photographs

    print(photographs.generate(profile, options.run, options.folder))


def _score(options: argparse.Namespace) -> None:
    profile = _profile(options)
    from sdn_lib.experiments import photographs
    from sdn_lib.judging import networks
    from sdn_lib.runs.pretrained import JUDGE

    inception = None
    if options.inception:
        path = None if options.inception == "download" else options.inception
        inception = networks.inception_network(path)
    efficientnet = networks.efficientnet_network(JUDGE) if options.efficientnet else None
    lpips = networks.lpips_network() if options.lpips else None
    report = photographs.score(profile, options.folder, inception, efficientnet, lpips)
    print(json.dumps(report, indent=1))


def _sample(options: argparse.Namespace) -> None:
    if options.scale < 1:
        raise SDNError(f"--scale {options.scale} is below 1: magnify by 1 or more")
    if options.out.suffix.lower() != ".png":
        raise SDNError(f"--out {options.out} is no PNG name: end it in .png")
    if options.out.is_dir():
        raise SDNError(f"--out {options.out} is a folder: name a PNG file")
    profile = _profile(options)
    from sdn_lib import files, runs
    from sdn_lib.experiments import showcase

    captions = _captions(options)
    columns = _columns(len(captions), profile.data.size, options.scale)
    for caption in captions:
        for remark in remarks(caption):
            _note(f"caption {quoted(caption)}: {remark}")

    student, encoder = showcase.painter(options.run, profile, _note)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CaptionWarning)  # noted above
        pictures = runs.paint(student, encoder, captions)
    sheet = runs.sheet_of(pictures, columns, options.scale)
    with files.writing(options.out) as partial:
        sheet.save(partial, format="PNG")
    rows = -(-len(captions) // columns)
    where = f", in {rows} rows" if rows > 1 else ""
    print(f"{options.out}: {counted(len(captions), 'picture')} by {options.run}{where}")


def _captions(options: argparse.Namespace) -> list[str]:
    """Return the captions of a command line and its file; SDNError for none, or one unreadable."""
    from sdn_lib import text

    captions = options.captions
    if len(captions) > 1 and all(len(caption.split()) == 1 for caption in captions):
        captions = [" ".join(captions)]
        joined = quoted(captions[0])
        _note(f"words without quotes are one caption, {joined}: put quotes around each of several")
    if options.file:
        captions = captions + read_captions(options.file)
    if not captions:
        raise SDNError("there is nothing to paint: give captions, or a file of them with --file")
    text.to_indices(captions)
    return captions


def _columns(count: int, size: int, scale: int) -> int:
    """Return how many pictures of `size` pixels stand in a row; SDNError for what PNGs cannot hold.

    One row, as long as it is not longer than LARGEST pixels.
    """
    across = LARGEST // (size * scale)
    if not across:
        raise SDNError(
            f"--scale {scale} makes a picture of {size * scale:,} pixels a side: "
            f"magnify by {LARGEST // size} or less"
        )
    if count > across**2:
        raise SDNError(
            f"{count:,} pictures are more than the {across**2:,} that a PNG of {LARGEST:,} pixels "
            f"a side holds at --scale {scale}: paint fewer, or magnify less"
        )
    return min(count, across)


def _note(message: str) -> None:
    print(f"note: {message}", file=sys.stderr)


def _reproduce(options: argparse.Namespace) -> None:
    from sdn_lib.book.execute import reproduce
    from sdn_lib.machine import hardware, side_by_side

    workers = side_by_side(hardware(), 4) if options.workers is None else options.workers
    reproduce(
        options.profile,
        options.chapters,
        seed=options.seed,
        output_dir=options.output_dir,
        parameters=_parameters(options.parameter),
        fresh=options.fresh,
        workers=workers,
        report=lambda line: print(line, flush=True),
    )


def _parameters(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return {name: value}; SDNError for a name that comes twice or has an option of its own."""
    names = [name for name, _ in pairs]
    for name in names:
        if name in ("profile", "seed", "output_dir"):
            option = name.replace("_", "-")
            raise SDNError(f"-p {name} has an option of its own: write --{option}")
        if names.count(name) > 1:
            raise SDNError(f"-p {name} comes twice: keep one")
    return {name: _value(text) for name, text in pairs}


def _value(text: str) -> Any:
    """Return a Python number, boolean or None as such, and anything else as text."""
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
    return value if isinstance(value, bool | int | float | None) else text


def _ablate(options: argparse.Namespace) -> None:
    from sdn_lib.book.grid import ablate

    ablate(
        options.profile,
        options.rows,
        options.seeds,
        folder=options.folder,
        output_dir=options.output_dir,
        workers=options.workers,
        report=lambda line: print(line, flush=True),
    )


def _book(options: argparse.Namespace) -> None:
    from sdn_lib.book.render import render

    render(options.profile, report=lambda line: print(line, flush=True))


if __name__ == "__main__":
    sys.exit(main())
