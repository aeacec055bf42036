"""Several processes: in order, a few results at a time, and nothing hangs or stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sdn_lib.data.parallel import check_processes, workers
from sdn_lib.errors import SDNError

ROOT = Path(__file__).resolve().parents[2]
KILL = """
import multiprocessing, os, signal, sys, time
from pathlib import Path
from sdn_lib import program

killed = []

def kill(done, total):
    if not killed:
        time.sleep(float(sys.argv[2]))
        killed.append(multiprocessing.active_children()[0].pid)
        os.kill(killed[0], signal.SIGKILL)

def work():
"""
PAINT = """
    from sdn_lib.data import painted_birds
    painted_birds.generate(sys.argv[1], size=48, species=40, test_species=4,
                           images_per_species=20, processes=2, progress=kill)
sys.exit(program.run(work))
"""
PREPARE = """
    from PIL import Image
    from sdn_lib.data import photographs
    from sdn_lib.data.photographs import folder
    home = Path(sys.argv[1] + "_raw")
    home.mkdir()
    lines = ["image,caption,split"]
    for n in range(500):
        Image.new("RGB", (400, 300), (n % 256, 0, 0)).save(home / f"{n}.jpg")
        lines.append(f"{n}.jpg,a thing,{'test' if n < 9 else 'train'}")
    (home / "captions.csv").write_text("\\n".join(lines))
    photographs.prepare(folder.read(home), sys.argv[1], processes=2, progress=kill)
sys.exit(program.run(work))
"""
SLEEP = """
import sys, time
from sdn_lib import program
from sdn_lib.data.parallel import workers

def nap(job):
    time.sleep(0.2)
    return job

def work():
    with workers(3, 1000) as spread:
        for done in spread(nap, range(1000)):
            print(done, flush=True)

if __name__ == "__main__":
    sys.exit(program.run(work))
"""


def double(job):
    return 2 * job


def fail(job):
    if job == 3:
        raise SDNError("number 3 is bad")
    return job


def pid(job):
    return os.getpid()


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_results_come_in_order(processes):
    with workers(processes, 40) as spread:
        assert list(spread(double, range(40))) == list(range(0, 80, 2))
        assert list(spread(double, [7])) == [14]


def test_jobs_are_handed_out_as_results_are_taken():
    handed = []
    with workers(2, 100) as spread:
        results = spread(double, (handed.append(n) or n for n in range(100)))
        assert [next(results) for _ in range(3)] == [0, 2, 4]
        time.sleep(0.2)
        assert len(handed) <= 8


def test_a_map_that_is_left_early_does_not_disturb_the_next():
    with workers(2, 100) as spread:
        for start in range(5):
            assert next(spread(double, range(start, 100))) == 2 * start
        assert list(spread(double, range(30))) == list(range(0, 60, 2))


def test_no_more_processes_than_jobs_and_none_for_one():
    with workers(4, 2) as spread:
        assert os.getpid() not in set(spread(pid, range(20)))
    with workers(4, 1) as spread:
        assert set(spread(pid, range(3))) == {os.getpid()}
    with workers(4, 0) as spread:
        assert list(spread(pid, [])) == []


@pytest.mark.parametrize("processes", [0, -1, 2.0, True, "2"])
def test_no_process_is_no_number_of_processes(processes):
    with pytest.raises(SDNError, match="processes=.*give 1 or more"), workers(processes, 5):
        pass


def test_the_default_is_one_a_core_that_may_be_used(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert check_processes(None) == 3 and check_processes(4) == 4
    monkeypatch.delattr(os, "sched_getaffinity")
    assert check_processes(None) == os.cpu_count()


def test_an_error_of_a_worker_arrives_and_no_process_stays():
    before = set(psutil.Process().children())
    with pytest.raises(SDNError, match="number 3 is bad"), workers(2, 9) as spread:
        list(spread(fail, range(9)))
    assert set(psutil.Process().children()) <= before


@pytest.mark.parametrize("pause", ["0", "0.5"])  # while it works, and while it hands over
@pytest.mark.parametrize("work", [PAINT, PREPARE], ids=["painting", "preparing"])
def test_a_killed_worker_is_an_error_within_seconds(tmp_path, work, pause):
    command = [sys.executable, "-c", KILL + work, str(tmp_path / "out"), pause]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: a worker process was killed")
    assert "fewer processes" in done.stderr and done.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} <= {"out_raw"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_its_parent(tmp_path, number):
    (tmp_path / "nap.py").write_text(SLEEP)
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "nap.py")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout.readline() == "0\n"
    family = psutil.Process(parent.pid).children(recursive=True)
    assert len(family) >= 3
    # A terminal interrupts all of them, a kill but the one.
    for member in family if number == signal.SIGINT else []:
        member.send_signal(number)
    parent.send_signal(number)
    _, said = parent.communicate(timeout=20)
    assert parent.returncode == (130 if number == signal.SIGINT else -number)
    if number == signal.SIGINT:
        assert said == "interrupted\n"
    assert psutil.wait_procs(family, timeout=10)[1] == []
