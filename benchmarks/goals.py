"""The figures that the service is held to, each as a ratio of the same run."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

_AT_LEAST: Final = "at least"
_AT_MOST: Final = "at most"


class _Goal(NamedTuple):
    """``path`` leads to the figure in the report; a missing one is not judged."""

    text: str
    path: str
    bound: str
    goal: float


_WARM = "warm.ratio_to_bare"
_SLOW = "quickstarts.warm_30_ms.ratio_to"
_FIRST = "quickstarts.first_30_ms.ratio_to"
_GOALS: Final = (
    _Goal(
        "warm exchange: requests a second, of the bare FastAPI route's",
        f"{_WARM}.seen.per_s.median",
        _AT_LEAST,
        0.75,
    ),
    _Goal(
        "warm exchange: p99, of the bare FastAPI route's",
        f"{_WARM}.seen.p99.median",
        _AT_MOST,
        3,
    ),
    _Goal(
        "never-seen token: requests a second, of the bare FastAPI route's",
        f"{_WARM}.never_seen.per_s.median",
        _AT_LEAST,
        0.30,
    ),
    _Goal(
        "warm exchange: Box calls per login",
        "counts.box_calls.service.seen",
        _AT_MOST,
        0,
    ),
    _Goal(
        "warm exchange: SQL statements per login",
        "counts.sql_statements.service.seen",
        _AT_MOST,
        0,
    ),
    _Goal(
        "warm logins a second at 30 ms per Box call, of Express's",
        f"{_SLOW}.express.per_s.median",
        _AT_LEAST,
        20,
    ),
    _Goal(
        "warm logins a second at 30 ms per Box call, of Flask's",
        f"{_SLOW}.flask.per_s.median",
        _AT_LEAST,
        100,
    ),
    _Goal(
        "first logins a second at 30 ms per Box call, of Express's",
        f"{_FIRST}.express.per_s.median",
        _AT_LEAST,
        2.5,
    ),
    _Goal(
        "one first login: ms over the sum of its Box calls",
        "first_login_alone.over_its_box_calls_ms",
        _AT_MOST,
        10,
    ),
)


def goals(report: Mapping[str, object]) -> list[dict[str, object]]:
    """Hold the report against the goals."""
    judged: list[dict[str, object]] = []
    for text, path, bound, goal in _GOALS:
        figure = _at(report, path)
        met = None
        if figure is not None:
            met = figure >= goal if bound == _AT_LEAST else figure <= goal
        judged.append({"what": text, "is": figure, bound: goal, "met": met})
    return judged


def _at(report: Mapping[str, object], path: str) -> float | None:
    found: Any = report
    for part in path.split("."):
        if part not in found:
            return None
        found = found[part]
    return float(found)
