"""Run chapters and rows of the ablation with papermill, and keep a record of each run.

A chapter's record says which source, library, weights, parameters, packages and hardware its
executed copy came from. As long as all but the hardware still hold, and the copy is the one that
the run left, the chapter is not run again.
"""

from __future__ import annotations

import ast
import concurrent.futures
import dataclasses
import hashlib
import json
import math
import multiprocessing
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sdn_lib import files, profiles
from sdn_lib.book import dependencies
from sdn_lib.data.parallel import check_processes
from sdn_lib.errors import SDNError, near
from sdn_lib.machine import gigabytes, git_state, hardware, peak_memory, seconds, versions

INJECTED = "injected-parameters"
# Figures of record, and the words in a chapter's code that make it depend on them.
STORED = {
    "ablation/*/*.*": ("ablation", "experiments"),
    "*/evaluation.json": ("evaluation", "judging"),
}


class ChapterError(SDNError):
    """A chapter failed; `.detail` holds the cell and its traceback."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message, detail)
        self.detail = re.sub(r"\x1b\[[0-9;]*m", "", detail)

    def __str__(self) -> str:
        return self.args[0]


@dataclass(frozen=True)
class Layout:
    """Where one profile's chapters, executed copies and records lie, under the project's root."""

    root: Path
    profile: str

    @property
    def book(self) -> Path:
        """Chapters without outputs, and prose pages."""
        return self.root / "book"

    @property
    def build(self) -> Path:
        """Everything that this profile's run makes."""
        return self.root / "_build" / self.profile

    def chapters(self) -> dict[str, Path]:
        """Return {chapter name: notebook}, in reading order; SDNError when there is none."""
        found = {path.stem: path for path in sorted(self.book.glob("[0-9][0-9]_*.ipynb"))}
        if not found:
            raise SDNError(f"no chapter (NN_name.ipynb) in {self.book}: run from a full checkout")
        return found

    def executed(self, name: str) -> Path:
        """Return where the executed copy of a chapter goes."""
        return self.build / "executed" / f"{name}.ipynb"

    def record(self, name: str) -> Path:
        """Return where a chapter's record, with its glued numbers, goes."""
        return self.build / "results" / f"{name}.json"


def layout(profile: str, root: str | Path | None = None) -> Layout:
    """Return the Layout of a profile (name or JSON file); SDNError lists near matches of a name."""
    name = profiles.load(profile).name
    return Layout(Path(root or profiles.project()).resolve(), name)


def select(names: Sequence[str], chapters: Sequence[str] | None) -> list[str]:
    """Return the chosen chapters in reading order.

    A choice is a number ('5', '05'), a name ('05_stage_one') or its tail ('stage_one'); None
    chooses all. SDNError lists the near matches of one that does not exist.
    """
    if chapters is None:
        return list(names)
    if not chapters:
        raise SDNError("no chapter is named: name one, or leave the choice out to run all")
    chosen = set()
    for choice in map(str, chapters):
        # Unicode has more digits than int() reads.
        number = f"{int(choice):02d}_" if choice.isascii() and choice.isdigit() else None
        hits = [n for n in names if choice in (n, n[3:]) or (number and n.startswith(number))]
        if not hits:
            raise SDNError(f"unknown chapter {choice!r}: {near(choice, names)}")
        chosen.update(hits)
    return [name for name in names if name in chosen]


def reproduce(
    profile: str = "cpu",
    chapters: Sequence[str] | None = None,
    *,
    seed: int = 0,
    output_dir: str | Path | None = None,
    parameters: Mapping[str, Any] | None = None,
    fresh: bool = False,
    workers: int = 1,
    root: str | Path | None = None,
    report: Callable[[str], None] = print,
) -> list[dict]:
    """Run chapters in reading order at a profile and return their records.

    `output_dir` and `parameters` are handed to every chosen chapter; a parameter that a chapter
    does not have, or a setting's value that the setting does not take, raises SDNError before
    anything runs. A chapter whose record still holds is not run again unless `fresh`; where only
    its text changed, the outputs are kept. The first chapter that fails raises ChapterError and
    stops the run; its notebook is kept as NAME.failed.ipynb. `workers` run side by side and share
    the processors: sooner done, but each takes longer. Another run of the same profile is waited
    for.
    """
    if workers < 1:
        raise SDNError(f"workers={workers} is below 1")
    place = layout(profile, root)
    paths = place.chapters()
    names = select(list(paths), chapters)
    values = {"profile": _portable(profile), "seed": seed, **(parameters or {})}
    if output_dir is not None:
        values["output_dir"] = profiles.load(profile, output_dir=output_dir).output_dir
    for name in names:
        check_parameters(paths[name], values)
    settings = {f.name for f in dataclasses.fields(profiles.Profile)} & set(values)
    profiles.load(profile, **{setting: values[setting] for setting in settings})
    width, records, jobs = max(map(len, names)), {}, []
    with alone(place, report):
        for name in names:
            reason = "fresh run asked for" if fresh else stale(place, name, values)
            if reason and reason != TEXT_CHANGED:
                jobs.append((place, name, values))
                continue
            records[name] = refresh(place, name) if reason else read_record(place, name)
            said = "text renewed, outputs kept" if reason else "up to date"
            report(f"{name:<{width}}  {said}")
        for (_, name, _), record in at_once(run, jobs, workers, place.root):
            records[name] = record
            said = f"{seconds(record['seconds'])}, {gigabytes(record['peak_memory_bytes'])} peak"
            report(f"{name:<{width}}  {said}")
    return [records[name] for name in names]


def _portable(profile: str) -> str:
    """Return a profile's name as chapters, which have another working directory, find it too."""
    return os.path.abspath(os.path.expanduser(profile)) if profiles.is_file(profile) else profile


@contextmanager
def alone(
    place: Layout, report: Callable[[str], None], part: str = "executed"
) -> Iterator[None]:
    """Let one process at a time make a part of a profile's folder; say so before a wait.

    Chapters are run, and rendered, as 'executed'.
    """
    waiting = f"waiting for another `sdn` that is at work on profile {place.profile}"
    with files.alone(place.build / part, lambda: report(waiting)):
        yield


def at_once(
    task: Callable[..., Any], jobs: Sequence[tuple], workers: int, root: Path
) -> Iterator[tuple[tuple, Any]]:
    """Yield each job, a tuple, and what `task` returned for it, as jobs end in their processes.

    `workers` run at a time; with one, in this process and in their order. The first error stops
    what has not begun; a worker that is killed is an SDNError.
    """
    if workers < 1:
        raise SDNError(f"workers={workers} is below 1")
    workers = min(workers, max(1, len(jobs)))
    with kernel_environment(root, share=workers):
        if workers == 1:
            for job in jobs:
                yield job, task(*job)
            return
        fresh = multiprocessing.get_context("spawn")
        executor = concurrent.futures.ProcessPoolExecutor(workers, mp_context=fresh)
        running, left = {}, list(jobs)
        try:
            while running or left:
                while left and len(running) < workers:
                    job = left.pop(0)
                    running[executor.submit(task, *job)] = job
                first = concurrent.futures.FIRST_COMPLETED
                for done in concurrent.futures.wait(running, return_when=first).done:
                    yield running.pop(done), done.result()
        except BrokenProcessPool:
            raise SDNError(
                "a process that ran a part of it was killed, out of memory perhaps: run the same "
                "command again with fewer --workers"
            ) from None
        finally:
            executor.shutdown()


def check_parameters(path: Path, values: Mapping[str, Any]) -> None:
    """Raise SDNError unless the chapter has one `parameters` cell that knows every given name."""
    from papermill.inspection import inspect_notebook

    notebook = read_source(path)
    cells = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise SDNError(
            f"{path.name} has {len(cells)} cells tagged 'parameters': tag the one that sets them"
        )
    try:
        known = inspect_notebook(str(path))
    except ValueError as error:
        raise SDNError(f"{path.name} names no kernel ({error}): save it with 'python3'") from None
    for key in values:
        if key not in known:
            raise SDNError(f"{path.name} has no parameter {key!r}: {near(key, known)}")


def run(place: Layout, name: str, values: Mapping[str, Any]) -> dict:
    """Execute one chapter, gate its outputs and return its new record.

    The executed copy appears under its name only once it has passed. ChapterError says which cell
    failed and keeps the notebook as NAME.failed.ipynb.
    """
    source_path, target = place.chapters()[name], place.executed(name)
    partial, failed = (target.with_name(f"{name}.{kind}.ipynb") for kind in ("running", "failed"))
    target.parent.mkdir(parents=True, exist_ok=True)
    for old in (place.record(name), failed, partial):
        old.unlink(missing_ok=True)
    origin = fingerprints(place, name)
    started, began = datetime.now(UTC), time.perf_counter()
    with peak_memory() as memory:
        executed = _execute(place, source_path, partial, failed, values, f"chapter {name}")
    elapsed = time.perf_counter() - began
    executed.metadata.pop("widgets", None)
    for key in ("input_path", "output_path"):
        executed.metadata.get("papermill", {}).pop(key, None)
    try:
        numbers = gate(read_source(source_path), executed, name)
    except ChapterError as error:
        partial.replace(failed)
        raise ChapterError(f"{error}; see {shown(failed, place)}") from None
    record = {
        "chapter": name,
        "title": title(executed, name),
        "profile": place.profile,
        "seed": values.get("seed"),
        "parameters": dict(values),
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(elapsed, 2),
        "peak_memory_bytes": memory["peak"],
        "hardware": hardware(),
        "versions": versions(),
        "git": git_state(place.root),
        "origin": origin,
        "numbers": numbers,
    }
    record = _keep(place, name, executed, record)
    partial.unlink(missing_ok=True)
    return record


def _keep(place: Layout, name: str, executed: Any, record: dict) -> dict:
    """Write a chapter's executed copy, then its record, which knows the copy; return the record."""
    import nbformat

    text = nbformat.writes(executed)
    record = {**record, "executed": _digest(text)}
    files.write_text(place.executed(name), text)
    files.write_json(place.record(name), record)
    return record


def read_source(path: Path) -> Any:
    """Return a chapter's notebook without outputs; SDNError names a file that is none."""
    import nbformat

    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # nbformat raises what it happens on
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise SDNError(
            f"{path} is no notebook ({said[0]}): get it back, with `git checkout` for one"
        ) from None
    return notebook


def _execute(
    place: Layout, source: Path, partial: Path, failed: Path, values: Mapping[str, Any], what: str
) -> Any:
    """Execute a notebook as `partial` and return it; ChapterError leaves it as `failed`."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    try:
        return papermill.execute_notebook(
            str(source),
            str(partial),
            parameters=dict(values),
            kernel_name="python3",
            language="python",
            progress_bar=False,
            cwd=str(place.root),
        )
    except KeyboardInterrupt:
        partial.unlink(missing_ok=True)
        raise
    except Exception as error:
        # Anything that papermill or the kernel raises ends the chapter, a dead kernel included.
        if partial.exists():
            partial.replace(failed)
        detail = str(error)
        if isinstance(error, PapermillExecutionError):
            detail = "\n".join(error.traceback) or f"{error.ename}: {error.evalue}"
            where = f" in cell In [{error.exec_count}] with {error.ename}: {error.evalue}"
            if error.ename == SDNError.__name__:
                detail = ""  # it says what to do; where it was raised stays in the notebook
        elif isinstance(error, OSError):
            detail, where = "", f": {files.explain(error)}"
        elif type(error).__name__ == "DeadKernelError":
            where = ": its kernel died, out of memory perhaps"
        else:
            where = f": {type(error).__name__}: {error}"
        kept = f"; see {shown(failed, place)}" if failed.exists() else ""
        raise ChapterError(f"{what} failed{where}{kept}", detail) from None


def ablate(
    profile: str = "cpu",
    rows: Sequence[str] | None = None,
    seeds: Sequence[int] = (0,),
    *,
    folder: str | Path | None = None,
    output_dir: str | Path | None = None,
    workers: int | None = None,
    root: str | Path | None = None,
    report: Callable[[str], None] = print,
) -> None:
    """Run rows of `ablation.ROWS` (all by default), each with papermill in a notebook of its own.

    What `folder` (by default that of `ablation.folder_of`) holds is not run again. `workers` run at
    a time and share the processors; by default one a processor, or one where there is a GPU. A row
    that fails raises ChapterError; its notebook stays in _build/PROFILE/rows.
    """
    import torch

    from sdn_lib import ablation

    if workers is not None and workers < 1:
        raise SDNError(f"workers={workers} is below 1")
    place = layout(profile, root)
    chosen = profiles.load(profile, output_dir=output_dir)
    for seed in seeds:
        profiles.load(profile, seed=seed)
    folder = Path(folder or ablation.folder_of(chosen)).resolve()
    values = {"profile": _portable(profile)}
    values |= {"folder": str(folder), "output_dir": chosen.output_dir}
    if workers is None:
        workers = 1 if torch.accelerator.is_available() else check_processes(None)
    with alone(place, report, "rows"):
        jobs = [
            (place, {**values, "row": row, "seed": seed})
            for seed in dict.fromkeys(seeds)
            for row in dict.fromkeys(rows or ablation.ROWS)
            if not ablation.kept(row, seed, chosen, folder)
        ]
        for (_, given), _ in at_once(run_row, jobs, workers, place.root):
            facts = ablation.kept(given["row"], given["seed"], chosen, folder)
            report(
                f"{given['row']:12} seed {given['seed']}  "
                f"accuracy {facts['attributes']['mean']:.3f}  "
                f"Frechet {facts['frechet']:7.1f}  {seconds(facts['seconds'])}"
            )


def run_row(place: Layout, values: Mapping[str, Any]) -> None:
    """Execute the notebook of one row; ChapterError says which cell failed."""
    name = f"{values['row']}-{values['seed']}"
    target = place.build / "rows" / f"{name}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    source, failed = place.book / "rows" / "row.ipynb", target.with_name(f"{name}.failed.ipynb")
    _execute(place, source, target, failed, values, f"row {name}")
    failed.unlink(missing_ok=True)


def gate(source: Any, executed: Any, name: str) -> dict[str, Any]:
    """Check an executed notebook against its source and return its glued scalars by name.

    ChapterError names the first cell with an error output, one that was not executed or out of
    order, one whose source differs, or a glued value that is no plain number, text or figure.
    """
    cells = [c for c in executed.cells if INJECTED not in c.metadata.get("tags", [])]
    if [(c.cell_type, c.source) for c in cells] != [(c.cell_type, c.source) for c in source.cells]:
        raise ChapterError(f"chapter {name}: its cells are not those of the source: run it again")
    count, numbers = 0, {}
    for cell in executed.cells:
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        count += 1
        first = cell.source.strip().splitlines()[0]
        if cell.execution_count != count:
            raise ChapterError(
                f"chapter {name}: cell {first!r} has execution count {cell.execution_count}, "
                f"expected {count}: every cell must run once, in order"
            )
        for output in cell.outputs:
            if output.output_type == "error":
                raise ChapterError(f"chapter {name}: cell {first!r} shows {output.ename}")
            for key, value in glued(output, name):
                if key in numbers:
                    raise ChapterError(f"chapter {name} glues {key!r} twice: rename one")
                numbers[key] = value
    return {key: value for key, value in numbers.items() if value is not None}


def glued(output: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield (key, value) of a glued output; value is None for figures and other displays.

    Numbers that are not finite come as text ('nan', 'inf'), which JSON can hold.
    """
    tag = output.get("metadata", {}).get("scrapbook")
    if not tag:
        return
    data = {key[len(tag.get("mime_prefix", "")) :]: value for key, value in output.data.items()}
    text = data.get("text/plain", "")
    text = text if isinstance(text, str) else "".join(text)
    if set(data) - {"text/plain"}:
        yield tag["name"], None
        return
    if re.match(r"(np|torch|numpy)\.|tensor\(|array\(", text):
        raise ChapterError(
            f"chapter {name} glues {tag['name']!r} as {text}: wrap it in float(), int() or bool()"
        )
    try:
        value = float(text) if text in ("nan", "inf", "-inf") else ast.literal_eval(text)
    except (SyntaxError, ValueError):
        value = None
    if isinstance(value, float) and not math.isfinite(value):
        value = text
    yield tag["name"], value if isinstance(value, bool | int | float | str) else None


TEXT_CHANGED = "its text changed"


def stale(place: Layout, name: str, values: Mapping[str, Any] | None = None) -> str | None:
    """Return why a chapter's executed copy does not hold, or None when it does.

    TEXT_CHANGED means that the code and its outputs still do. `values` are the parameters that it
    must have been run with, or None to accept any. Hardware is not compared, nor the build of a
    package for it ('2.15.0+cpu').
    """
    executed = place.executed(name)
    if not executed.exists() or not place.record(name).exists():
        return "it has not been run"
    now = fingerprints(place, name)
    try:
        record = read_record(place, name)
    except SDNError:
        return "its record is damaged"
    if not executed.is_file() or record["executed"] != _digest_file(executed):
        return "its executed copy is damaged, or was changed by hand"
    if values is not None and record["parameters"] != dict(values):
        return "its parameters changed"
    if changed := _other_versions(record["versions"], versions()):
        return f"packages changed ({changed})"
    for key, said in (
        ("code", "its code changed"),
        ("library", "sdn_lib changed"),
        ("weights", "the shipped weights changed"),
        ("photographs", "other photographs are prepared"),
        ("results", "the stored results changed"),
        ("text", TEXT_CHANGED),
    ):
        if record["origin"].get(key) != now[key]:
            return said
    return None


def _other_versions(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return the packages that are not what they were: 'numpy 2.4.1, now 2.5.0'.

    What renders pages decides no output, and a local part ('+cu132') names hardware.
    """
    said = []
    for package in sorted((set(then) | set(now)) - {"jupyter-book"}):
        old, new = (str(found.get(package, "none")).split("+")[0] for found in (then, now))
        if old != new:
            said.append(f"{package} {old}, now {new}")
    return "; ".join(said)


def refresh(place: Layout, name: str) -> dict:
    """Put a chapter's new text around the outputs it has, and return the renewed record."""
    import nbformat

    old = nbformat.read(place.executed(name), as_version=4)
    new = read_source(place.chapters()[name])
    injected = [c for c in old.cells if INJECTED in c.metadata.get("tags", [])]
    ran = iter(c for c in old.cells if c.cell_type == "code" and c not in injected)
    for cell in new.cells:
        if cell.cell_type == "code":
            before = next(ran)
            cell.outputs, cell.execution_count = before.outputs, before.execution_count
    at = next(i for i, c in enumerate(new.cells) if "parameters" in c.metadata.get("tags", []))
    new.cells[at + 1 : at + 1] = injected
    numbers = gate(read_source(place.chapters()[name]), new, name)
    record = {**read_record(place, name), "numbers": numbers, "origin": fingerprints(place, name)}
    return _keep(place, name, new, record | {"title": title(new, name)})


_RECORD = {
    "chapter": str,
    "title": str,
    "profile": str,
    "parameters": dict,
    "started": str,
    "seconds": (int, float),
    "peak_memory_bytes": int,
    "hardware": {
        "processor": str, "cores": int, "memory_bytes": int, "accelerators": list, "system": str,
    },
    "versions": dict,
    "git": {"commit": (str, type(None)), "dirty": (bool, type(None))},
    "origin": dict,
    "numbers": dict,
    "executed": str,
}  # fmt: skip


def read_record(place: Layout, name: str) -> dict:
    """Return a chapter's record; SDNError names one that is missing or damaged, and the remedy."""
    path = place.record(name)
    record = files.read_json(path, _REMEDY)
    if lacking := _lacking(record, _RECORD):
        raise SDNError(f"{path} is damaged (its {lacking!r} is missing or wrong): {_REMEDY}")
    return record


_REMEDY = "delete it, and run the chapter again with `sdn reproduce`"


def _lacking(found: Any, shape: Mapping[str, Any]) -> str:
    """Return the first key of `shape` that `found` has not, or has with another type; else ''."""
    for key, kind in shape.items():
        inner = kind if isinstance(kind, dict) else None
        if not isinstance(found.get(key), dict if inner else kind):
            return key
        if inner and (lacking := _lacking(found[key], inner)):
            return f"{key}.{lacking}"
    return ""


def fingerprints(place: Layout, name: str) -> dict[str, str]:
    """Return hashes of what a chapter's outputs depend on.

    Text, code, the library's files that it uses, shipped weights, and, if it speaks of them, the
    prepared photographs and the stored results.
    """
    cells = read_source(place.chapters()[name]).cells
    joined = [(c.cell_type, c.source, c.metadata) for c in cells]
    code = [(source, m.get("tags", [])) for kind, source, m in joined if kind == "code"]
    sources = dependencies.imported([source for source, _ in code])
    shipped = place.root / "results"
    weights = [p for p in shipped.rglob("*") if p.name in ("weights.safetensors", "config.json")]
    said = "\n".join(source for source, _ in code)
    used = (kind for kind, words in STORED.items() if any(word in said for word in words))
    stored = [path for pattern in used for path in shipped.glob(pattern)]
    photographs = []
    if ".photos" in said:
        folders = {place.root / p.photos for p in profiles.PROFILES.values() if p.photos}
        photographs = [m for f in folders if (m := f / "manifest.json").is_file()]
    return {
        "text": _digest(json.dumps(joined, sort_keys=True)),
        "code": _digest(json.dumps(code, sort_keys=True)),
        "library": _digest_files(sources, dependencies.LIBRARY),
        "weights": _digest_files(weights, shipped),
        "photographs": _digest_files(photographs, place.root),
        "results": _digest_files(stored, shipped),
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _digest_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest_files(paths: Sequence[Path], base: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(path.relative_to(base).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


# What a user's shell or profile could change in a kernel.
NOT_THE_USERS = (
    "PYTHONSTARTUP", "PYTHONWARNINGS", "PYTHONOPTIMIZE", "PYTHONINSPECT", "JUPYTER_CONFIG_PATH",
    "JUPYTER_PREFER_ENV_PATH",
)  # fmt: skip


@contextmanager
def kernel_environment(root: Path, share: int = 1) -> Iterator[None]:
    """Make the kernel 'python3' this very interpreter, whatever the user has set up or registered.

    It imports the very `sdn_lib` that runs it. With `share` kernels at a time each computes with
    its part of the processors.
    """
    folder = root / "_build" / "jupyter"
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    command += ["--log-level=CRITICAL"]
    spec = {"argv": command, "display_name": "Python 3", "language": "python"}
    files.write_json(folder / "kernels" / "python3" / "kernel.json", spec)
    files.write_text(folder / "matplotlibrc", "")
    path = [str(profiles.BESIDE), os.environ.get("PYTHONPATH", "")]
    values: dict[str, str | None] = dict.fromkeys(NOT_THE_USERS)
    values |= {
        "JUPYTER_PATH": str(folder),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
        # A user's MPLBACKEND would keep figures out of the notebook.
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MATPLOTLIBRC": str(folder / "matplotlibrc"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "PYTHONUTF8": "1",
        # Interactives leave their widgets out: no kernel will stand behind the rendered pages.
        "SDN_STATIC": "1",
    }
    if share > 1:
        values["OMP_NUM_THREADS"] = str(max(1, check_processes(None) // share))
    before = {key: os.environ.get(key) for key in values}
    try:
        _set(values)
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    """Set variables of the environment; None takes one away."""
    for key, value in values.items():
        if value is None:
            os.environ.pop(key, None)
        else:
            os.environ[key] = value


def title(notebook: Any, name: str) -> str:
    """Return a notebook's first heading, or its name where it has none."""
    for cell in notebook.cells:
        found = re.search(r"^# +(.+)$", cell.source, re.M) if cell.cell_type == "markdown" else None
        if found:
            return found.group(1).strip()
    return name


def shown(path: Path, place: Layout) -> str:
    """Return a path as a reader at the project's root would type it."""
    return path.relative_to(place.root).as_posix() if path.is_relative_to(place.root) else str(path)
