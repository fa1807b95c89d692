# SPDX-License-Identifier: MIT OR Apache-2.0
"""Plots of what the bench has found, as SVG: bars of ratios, and lines of what grows."""

import html
import math
from collections.abc import Mapping, Sequence

COLOURS = ("#1f6f8b", "#c06014", "#6a8d3a", "#7b4b94")


def _text(x: float, y: float, words: str, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">'
        f"{html.escape(words)}</text>"
    )


def _svg(width: int, height: float, body: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" '
        f'font-family="sans-serif" font-size="12">\n'
        f'<rect width="{width}" height="{height:.0f}" fill="white"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _legend(names: Sequence[str], x: float, y: float) -> list[str]:
    body = []
    for name, colour in zip(names, COLOURS, strict=False):
        body.append(f'<rect x="{x:.1f}" y="{y - 10}" width="12" height="12" fill="{colour}"/>')
        body.append(_text(x + 16, y, name))
        x += 30 + 7 * len(name)
    return body


def ratios(title: str, rows: Mapping[str, Mapping[str, float]]) -> str:
    """A bar for each row and each that is compared with; a line where both are equal."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    most = max(1.0, *(value for row in rows.values() for value in row.values()))
    left, width = 330, 380
    body = [_text(10, 20, title, weight="bold"), *_legend(names, 10, 40)]
    y = 56.0
    for name, row in rows.items():
        body.append(_text(left - 8, y + 7 * len(row) + 2, name, "end"))
        for other, value in row.items():
            colour = COLOURS[names.index(other) % len(COLOURS)]
            body.append(
                f'<rect x="{left}" y="{y:.1f}" width="{max(1, width * value / most):.1f}" '
                f'height="12" fill="{colour}"/>'
            )
            body.append(_text(left + 6 + width * value / most, y + 10, f"{value:.2f}"))
            y += 13
        y += 7
    at = left + width / most
    body.append(f'<line x1="{at:.1f}" y1="50" x2="{at:.1f}" y2="{y:.1f}" stroke="#444"/>')
    return _svg(780, y + 10, body)


def lines(title: str, unit: str, series: Mapping[str, Mapping[int, float]]) -> str:
    """One line for each series, over a logarithmic axis."""
    points = sorted({x for one in series.values() for x in one})
    most = max(value for one in series.values() for value in one.values()) or 1.0
    left, top, width, height = 70, 60, 460, 220
    low, high = math.log10(points[0]), math.log10(points[-1]) or 1

    def place(x: int, value: float) -> tuple[float, float]:
        return (
            left + width * (math.log10(x) - low) / max(high - low, 1e-9),
            top + height * (1 - value / most),
        )

    body = [_text(10, 20, title, weight="bold"), *_legend(list(series), 10, 40)]
    for part in (0, 0.5, 1):
        y = top + height * (1 - part)
        body.append(f'<line x1="{left}" y1="{y}" x2="{left + width}" y2="{y}" stroke="#ddd"/>')
        body.append(_text(left - 6, y + 4, f"{most * part:.3g}", "end"))
    body.append(_text(left + width + 8, top + 4, unit))
    body += [_text(place(x, 0)[0], top + height + 18, str(x), "middle") for x in points]
    for one, colour in zip(series.values(), COLOURS, strict=False):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*pair) for pair in one.items()))
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
    return _svg(640, top + height + 30, body)
