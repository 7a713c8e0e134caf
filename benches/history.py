#!/usr/bin/env python3
"""Draws the table of starts in benches/RESULTS.md: benches/history.py > benches/history.svg"""
import pathlib

TABLE = "| events, M | horizon, days |"
WIDTH, HEIGHT, LEFT, TOP = 330, 210, 60, 40
LINES = [("0", "from the log", "#a33", ""), ("0", "from a checkpoint", "#a33", "5 4"),
         ("90", "from the log", "#26a", ""), ("90", "from a checkpoint", "#26a", "5 4")]


def rows():
    lines = pathlib.Path(__file__).with_name("RESULTS.md").read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(TABLE))
    for line in lines[start + 2:]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def panel(x, title, value, table):
    """One drawing; `value` takes a row and whether the start was from a checkpoint."""
    most = max(value(row, kept) for row in table for kept in (False, True))
    step = 10 ** (len(str(int(most))) - 1)
    step = next(s for s in (step / 5, step / 2, step, 2 * step) if most / s <= 6)
    top = step * -(-most // step)
    at = lambda events, y: (x + LEFT + WIDTH * events / last, TOP + HEIGHT * (1 - y / top))
    last = max(float(row[0]) for row in table)
    yield f'<text x="{x + LEFT}" y="24" font-weight="bold">{title}</text>'
    for n in range(round(top / step) + 1):
        (_, y), text = at(0, n * step), f"{n * step:g}"
        yield f'<path d="M{x + LEFT} {y:.1f}h{WIDTH}" stroke="#ddd"/>'
        yield f'<text x="{x + LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    for events in sorted({float(row[0]) for row in table}):
        here, _ = at(events, 0)
        yield f'<text x="{here:.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{events:g} M</text>'
    for horizon, how, colour, dashes in LINES:
        kept = "checkpoint" in how
        points = [at(float(row[0]), value(row, kept)) for row in table if row[1] == horizon]
        path = "L".join(f"{px:.1f} {py:.1f}" for px, py in points)
        yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>'
        yield from (f'<circle cx="{px:.1f}" cy="{py:.1f}" r="2.5" fill="{colour}"/>' for px, py in points)


def main():
    table = list(rows())
    seconds = lambda row, kept: float(row[11 if kept else 6])
    memory = lambda row, kept: sum(float(row[n]) for n in ((12, 13) if kept else (7, 8)))
    width = 2 * (LEFT + WIDTH) + 60
    print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{TOP + HEIGHT + 70}" '
          'font-family="sans-serif" font-size="12" fill="#222"><rect width="100%" height="100%" fill="#fff"/>')
    print(*panel(0, "CPU seconds of a start, by events in the log", seconds, table), sep="\n")
    print(*panel(LEFT + WIDTH + 40, "megabytes resident then", memory, table), sep="\n")
    for n, (horizon, how, colour, dashes) in enumerate(LINES):
        x, y = LEFT + (0, 170, 385, 560)[n], TOP + HEIGHT + 48
        what = "no horizon" if horizon == "0" else f"{horizon} days"
        print(f'<path d="M{x} {y - 4}h24" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>')
        print(f'<text x="{x + 30}" y="{y}">{what}, {how}</text>')
    print("</svg>")


main()
