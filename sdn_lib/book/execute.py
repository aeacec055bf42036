"""Run chapters with papermill, in reading order, as far as their records no longer hold."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sdn_lib import files, profiles
from sdn_lib.book.chapters import (
    Layout,
    check_parameters,
    layout,
    locked,
    portable,
    read_source,
    select,
    title,
)
from sdn_lib.book.gate import ChapterError, gate
from sdn_lib.book.kernels import run_jobs
from sdn_lib.book.records import (
    TEXT_CHANGED,
    fingerprints,
    read_record,
    refresh,
    stale,
    write_run,
)
from sdn_lib.errors import SDNError
from sdn_lib.machine import gigabytes, git_state, hardware, peak_memory, seconds, versions

# A notebook's kernel is started this often at most, where it ends with these words of Jupyter's.
KERNEL_STARTS = 3
NEVER_ANSWERED = "Kernel died before replying"


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
    stops the run; its notebook is kept as NAME.failed.ipynb. `workers` chapters run at a time
    and share the processors: sooner done, but each takes longer. Another run of the same profile is
    waited for.
    """
    if workers < 1:
        raise SDNError(f"workers={workers} is below 1")
    place = layout(profile, root)
    paths = place.chapters()
    names = select(list(paths), chapters)
    values = {"profile": portable(profile), "seed": seed, **(parameters or {})}
    if output_dir is not None:
        values["output_dir"] = profiles.load(profile, output_dir=output_dir).output_dir
    for name in names:
        check_parameters(paths[name], values)
    settings = {f.name for f in dataclasses.fields(profiles.Profile)} & set(values)
    profiles.load(profile, **{setting: values[setting] for setting in settings})
    width, records, jobs = max(map(len, names)), {}, []
    with locked(place, report):
        for name in names:
            reason = "fresh run asked for" if fresh else stale(place, name, values)
            if reason and reason != TEXT_CHANGED:
                jobs.append((place, name, values))
                continue
            records[name] = refresh(place, name) if reason else read_record(place, name)
            state = "text renewed, outputs kept" if reason else "up to date"
            report(f"{name:<{width}}  {state}")
        shared = [(*job, min(workers, len(jobs))) for job in jobs]
        for (_, name, *_), record in run_jobs(run_chapter, shared, workers, place.root):
            records[name] = record
            cost = f"{seconds(record['seconds'])}, {gigabytes(record['peak_memory_bytes'])} peak"
            report(f"{name:<{width}}  {cost}")
    return [records[name] for name in names]


def run_chapter(place: Layout, name: str, values: Mapping[str, Any], workers: int = 1) -> dict:
    """Execute one chapter, gate its outputs and return its new record.

    `workers` is how many chapters share the machine meanwhile; it goes into the record.

    The executed copy appears under its name only once it has passed. ChapterError says which cell
    failed and keeps the notebook as NAME.failed.ipynb.
    """
    source_path, target = place.chapters()[name], place.executed(name)
    partial, failed = (target.with_name(f"{name}.{kind}.ipynb") for kind in ("running", "failed"))
    target.parent.mkdir(parents=True, exist_ok=True)
    for old in (place.record(name), failed, partial):
        old.unlink(missing_ok=True)
    origin, code = fingerprints(place, name, values), git_state(place.root)
    started, began = datetime.now(UTC), time.perf_counter()
    with peak_memory() as memory:
        executed = execute_notebook(place, source_path, partial, failed, values, f"chapter {name}")
    elapsed = time.perf_counter() - began
    executed.metadata.pop("widgets", None)
    for key in ("input_path", "output_path"):
        executed.metadata.get("papermill", {}).pop(key, None)
    try:
        numbers = gate(read_source(source_path), executed, name)
    except ChapterError as error:
        partial.replace(failed)
        raise ChapterError(f"{error}; see {place.relative(failed)}") from None
    record = {
        "chapter": name,
        "title": title(executed, name),
        "profile": place.profile,
        "seed": values.get("seed"),
        "parameters": dict(values),
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(elapsed, 2),
        "peak_memory_bytes": memory["peak"],
        "workers": workers,
        "hardware": hardware(),
        "versions": versions(),
        "git": code,
        "origin": origin,
        "numbers": numbers,
    }
    record = write_run(place, name, executed, record)
    partial.unlink(missing_ok=True)
    return record


def execute_notebook(
    place: Layout, source: Path, partial: Path, failed: Path, values: Mapping[str, Any], what: str
) -> Any:
    """Execute a notebook as `partial` and return it; ChapterError leaves it as `failed`."""
    from papermill.exceptions import PapermillExecutionError

    try:
        return _papermill(source, partial, values, place.root)
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
        kept = f"; see {place.relative(failed)}" if failed.exists() else ""
        raise ChapterError(f"{what} failed{where}{kept}", detail) from None


def _papermill(source: Path, partial: Path, values: Mapping[str, Any], root: Path) -> Any:
    """Execute a notebook with papermill; start anew where the kernel never answered.

    A kernel is told its ports before it opens them, and another process may take one meanwhile
    (papermill's issue 511). Nothing of the notebook has run by then.
    """
    import papermill

    starts = 1
    while True:
        try:
            return papermill.execute_notebook(
                str(source),
                str(partial),
                parameters=dict(values),
                kernel_name="python3",
                language="python",
                progress_bar=False,
                cwd=str(root),
            )
        except RuntimeError as error:
            if starts == KERNEL_STARTS or NEVER_ANSWERED not in str(error):
                raise
            starts += 1
