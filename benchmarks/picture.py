"""The picture for the docs: bars side by side, drawn as SVG by hand.

The figures stand beside the bars, and the ratios in the headings: the shortest bars
are too short to be read off.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

_WIDTH = 720
_LABELS = 210
_BARS = 360
_LINE = 26
_HEADING = 44
_OURS = "#0061d5"
_THEIRS = "#9aa5b1"
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#333}"
    ".h{font-weight:600;font-size:14px}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}}"
)


class _Bar(NamedTuple):
    label: str
    value: float
    ours: bool


class _Group(NamedTuple):
    heading: str
    unit: str
    bars: Sequence[_Bar]


def draw(report: Mapping[str, Any]) -> str:
    """Draw the groups one below the other, each on a scale of its own."""
    parts: list[str] = []
    y = 10
    for group in _groups(report):
        parts.append(_text(10, y + 22, group.heading, "h"))
        y += _HEADING - 10
        longest = max(bar.value for bar in group.bars) or 1
        for bar in group.bars:
            parts += _drawn(bar, y, bar.value / longest, group.unit)
            y += _LINE
        y += 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" role="img"'
        f' aria-label="Benchmarks of sso-box-api"><style>{_STYLE}</style>'
        + "\n".join(parts)
        + "</svg>\n"
    )


def _groups(report: Mapping[str, Any]) -> Iterator[_Group]:
    warm, stood = report["warm"]["median"], report["quickstarts"]
    names = {
        "bare": "bare FastAPI route",
        "seen": "exchange, token seen before",
        "never_seen": "exchange, never-seen token",
    }
    yield _Group(
        "Warm exchange beside a bare FastAPI route, one core, 32 connections",
        "requests/s",
        [_Bar(names[n], warm[n]["per_s"], n != "bare") for n in names],
    )
    for kind, what in (("warm_30_ms", "Warm"), ("first_30_ms", "First")):
        yield _Group(
            f"{what} logins, 32 at once, 30 ms added to each Box call",
            "logins/s",
            _logins(stood[kind]["median"], "per_s"),
        )
    yield _Group(
        "One first login alone, 30 ms added to each Box call",
        "ms",
        _logins(report["first_login_alone"]["median_ms"]),
    )
    yield _Group(
        "Memory after that load",
        "MB",
        _logins(report["memory_mb_after_load"]),
    )


def _logins(figures: Mapping[str, Any], member: str | None = None) -> list[_Bar]:
    names = {
        "box_calls": "its bare Box calls",
        "service": "sso-box-api",
        "express": "quickstart in Express",
        "flask": "quickstart in Flask",
    }
    return [
        _Bar(name, figures[key][member] if member else figures[key], key == "service")
        for key, name in names.items()
        if key in figures
    ]


def _drawn(bar: _Bar, y: int, share: float, unit: str) -> Iterator[str]:
    width = max(1, round(_BARS * share))
    colour = _OURS if bar.ours else _THEIRS
    yield _text(10, y + 15, bar.label)
    yield (
        f'<rect x="{_LABELS}" y="{y + 2}" width="{width}" height="18" rx="2"'
        f' fill="{colour}"/>'
    )
    value = f"{bar.value:,.0f}" if bar.value >= 10 else f"{bar.value:.1f}"  # noqa: PLR2004 - two digits are enough
    yield _text(_LABELS + width + 8, y + 15, f"{value} {unit}")


def _text(x: int, y: int, text: str, kind: str = "") -> str:
    mark = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y}"{mark}>{escape(text)}</text>'
