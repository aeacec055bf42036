"""The ablation's grid: each of its rows run with papermill in a notebook of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sdn_lib import profiles
from sdn_lib.book.chapters import Layout, layout, locked, portable
from sdn_lib.book.execute import execute_notebook
from sdn_lib.book.kernels import run_jobs
from sdn_lib.errors import SDNError
from sdn_lib.machine import hardware, seconds, side_by_side


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
    """Run rows of the ablation (all by default), each with papermill in a notebook of its own.

    What `folder` (by default `experiments.rows_folder`) holds is not run again. `workers` run at a
    time and share the processors; by default as many as fit, or one where there is a GPU. A row
    that fails raises ChapterError; its notebook stays in _build/PROFILE/rows.
    """
    import torch

    from sdn_lib import experiments

    if workers is not None and workers < 1:
        raise SDNError(f"workers={workers} is below 1")
    place = layout(profile, root)
    chosen = profiles.load(profile, output_dir=output_dir)
    for seed in seeds:
        profiles.load(profile, seed=seed)
    folder = Path(folder or experiments.rows_folder(chosen)).resolve()
    values: dict[str, Any] = {"profile": portable(profile)}
    values |= {"folder": str(folder), "output_dir": chosen.output_dir}
    if workers is None:
        # PyTorch knows accelerators that `hardware` does not name.
        workers = 1 if torch.accelerator.is_available() else side_by_side(hardware())
    with locked(place, report, "rows"):
        jobs = [
            (place, {**values, "row": row, "seed": seed})
            for seed in dict.fromkeys(seeds)
            for row in dict.fromkeys(rows or experiments.ROWS)
            if not experiments.stored_row(row, seed, chosen, folder)
        ]
        for (_, given), _ in run_jobs(run_row, jobs, workers, place.root):
            facts = experiments.stored_row(given["row"], given["seed"], chosen, folder)
            if facts is None:
                raise SDNError(f"{folder} got no result of row {given['row']}: run it again")
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
    for old in (target, failed):
        old.unlink(missing_ok=True)
    execute_notebook(place, source, target, failed, values, f"row {name}")
