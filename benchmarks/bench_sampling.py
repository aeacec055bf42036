"""Time sampling with the shipped networks: from captions to images, and one caption's latency.

Reading many captions, which is most of the time of painting, is timed against the plain network.
"""

from __future__ import annotations

import record

from sdn_lib import profiles, runs
from sdn_lib.text import CharCNNRNN

GOAL = 15  # milliseconds from one caption to its 64-pixel image
READ = 1500
"""The goal, in captions embedded a second on two cores."""


def reading(encoder: CharCNNRNN, captions: list[str]) -> list[dict]:
    """Return captions read a second, as they are read and by the plain network."""
    rows = []
    for count in (1, 16, 256, 2048):
        some = captions[:count]
        plain = record.best(lambda lines=some: encoder.encode(lines, batch=256, plain=True))
        seconds = record.best(lambda lines=some: encoder.encode(lines), 10)
        rows.append(
            {
                "captions": count,
                "read a second": count / seconds,
                "of plain": seconds / plain,
                "of the goal": f"{count / seconds / READ:.2f}" if count == 2048 else "",
            }
        )
    return rows


def main() -> None:
    """Measure, print and keep the table."""
    profile = profiles.load("cpu")
    data = runs.dataset(profile)
    encoder, student = (runs.get(name, profile).model for name in ("text", "stage_two"))
    captions = [data.captions[row][0] for row in data.indices("test")[:256]]
    rows = []
    for count in (1, 16, 256):
        some = captions[:count]
        seconds = record.best(lambda lines=some: runs.paint(student, encoder, lines), 10)
        read = record.best(lambda lines=some: encoder.encode(lines), 10)
        rows.append(
            {
                "captions": count,
                "ms": 1e3 * seconds,
                "of it reading": read / seconds,
                "images a second": count / seconds,
                "of the goal": f"{1e3 * seconds / GOAL:.2f}" if count == 1 else "",
            }
        )
    many = [caption for row in data.indices("train")[:205] for caption in data.captions[row]]
    tables = {"Sampling, 64 pixels, float32": rows, "Reading captions": reading(encoder, many)}
    record.save("sampling", tables)


if __name__ == "__main__":
    main()
