"""Time sampling with the shipped networks: from captions to images, and one caption's latency."""

from __future__ import annotations

import record

from sdn_lib import profiles, runs

GOAL = 15  # milliseconds from one caption to its 64-pixel image


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
    record.save("sampling", {"Sampling, 64 pixels, float32": rows})


if __name__ == "__main__":
    main()
