"""An OpenAPI 3.0 document as checks of answers: by method, path, status and body.

Stricter than the standard in one respect: a property that a schema does not name is a
problem, so that invented fields are noticed. Laxer in one: of ``oneOf`` at least one
must fit, since Box's own alternatives overlap. Of the formats only date-time is looked
at.
"""

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

Schema = dict[str, Any]
Check = Callable[[Any, str], Iterator[str]]

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


class Operation(NamedTuple):
    """A template such as ``/users/{user_id}`` and its answers by status."""

    segments: list[str]
    responses: dict[str, Schema]

    def fits(self, segments: list[str]) -> bool:
        return len(segments) == len(self.segments) and all(
            mine.startswith("{") or mine == theirs
            for mine, theirs in zip(self.segments, segments, strict=True)
        )

    @property
    def placeholders(self) -> int:
        return sum(segment.startswith("{") for segment in self.segments)


class Document:
    """Schemas are compiled when first needed, then kept."""

    def __init__(self, path: Path) -> None:
        content = json.loads(path.read_text(encoding="utf-8"))
        self.schemas: dict[str, Schema] = content["components"]["schemas"]
        self._checks: dict[int, Check] = {}
        self._operations: dict[str, list[Operation]] = {}
        for template, methods in content["paths"].items():
            if "#" in template:
                continue  # variants of an operation that is there as well
            segments = template.strip("/").split("/")
            for method, operation in methods.items():
                known = self._operations.setdefault(method.upper(), [])
                known.append(Operation(segments, operation["responses"]))
        for operations in self._operations.values():
            operations.sort(key=lambda operation: operation.placeholders)

    def operation(self, method: str, path: str) -> Operation | None:
        segments = path.strip("/").split("/")
        every = self._operations.get(method, [])
        return next((each for each in every if each.fits(segments)), None)

    def problems(
        self, operation: Operation, status: int, media_type: str, body: bytes
    ) -> Iterator[str]:
        """What is wrong with an answer, one line each."""
        declared = operation.responses.get(str(status))
        if declared is None and status >= 400:
            declared = operation.responses.get("default")
        if declared is None:
            yield f"status {status} is not declared"
            return
        content = declared.get("content", {})
        if not content:
            if body:
                yield "a body where none is declared"
        elif media_type not in content:
            yield f"media type {media_type!r} is not declared"
        elif media_type == "application/json":
            yield from self.check(content[media_type]["schema"])(json.loads(body), "")

    def check(self, schema: Schema) -> Check:
        """Compiled once for each place in the document."""
        known = self._checks.get(id(schema))
        if known is None:
            known = self._checks[id(schema)] = self._compile(list(self.parts(schema)))
        return known

    def parts(self, schema: Schema) -> Iterator[Schema]:
        """The schema and all that it is put together from."""
        if "$ref" in schema:
            yield from self.parts(self.schemas[schema["$ref"].rpartition("/")[2]])
            return
        yield schema
        for part in schema.get("allOf", []):
            yield from self.parts(part)

    def _compile(self, parts: list[Schema]) -> Check:
        nullable = any(part.get("nullable") for part in parts)
        plain = [check for part in parts for check in _plain_checks(part)]
        alternatives = [
            part.get("oneOf") or part["anyOf"]
            for part in parts
            if "oneOf" in part or "anyOf" in part
        ]
        members = self._members(parts)
        items = next((part["items"] for part in parts if "items" in part), None)

        def check(value: Any, where: str) -> Iterator[str]:
            if value is None:
                if not nullable:
                    yield f"{where}: null"
                return
            for each in plain:
                yield from each(value, where)
            for choices in alternatives:
                yield from self._best(choices, value, where)
            if isinstance(value, dict) and members is not None:
                yield from members(value, where)
            if isinstance(value, list) and items is not None:
                for entry in value:
                    yield from self.check(items)(entry, f"{where}[]")

        return check

    def _members(self, parts: list[Schema]) -> Check | None:
        """Of an object that names its properties and allows no others."""
        properties: dict[str, list[Schema]] = {}
        for part in parts:
            for name, schema in part.get("properties", {}).items():
                properties.setdefault(name, []).append(schema)
        free = any("additionalProperties" in part for part in parts)
        if not properties:
            return None

        def check(value: Any, where: str) -> Iterator[str]:
            for name, member in value.items():
                here = f"{where}.{name}"
                for schema in properties.get(name, []):
                    yield from self.check(schema)(member, here)
                if name not in properties and not free:
                    yield f"{here}: unknown"

        return check

    def _best(self, choices: list[Schema], value: Any, where: str) -> Iterator[str]:
        """The problems of the alternative that fits best."""
        found = [list(self.check(choice)(value, where)) for choice in choices]
        yield from min(found, key=len)


def _plain_checks(part: Schema) -> Iterator[Check]:
    """What can be said of a value without looking into it."""
    if "type" in part:
        yield _type_check(part["type"])
    if "enum" in part:
        yield _enum_check(part["enum"])
    if "required" in part:
        yield _required_check(part["required"])
    if "maxLength" in part:
        yield _length_check(part["maxLength"])
    if part.get("format") == "date-time":
        yield _moment


def _type_check(name: str) -> Check:
    expected = _TYPES[name]

    def check(value: Any, where: str) -> Iterator[str]:
        is_flag = isinstance(value, bool) and name != "boolean"
        if is_flag or not isinstance(value, expected):
            yield f"{where}: {type(value).__name__} for {name}"

    return check


def _enum_check(allowed: list[Any]) -> Check:
    def check(value: Any, where: str) -> Iterator[str]:
        if value not in allowed:
            yield f"{where}: {value!r} is not in the enum"

    return check


def _required_check(names: list[str]) -> Check:
    def check(value: Any, where: str) -> Iterator[str]:
        for name in names:
            if isinstance(value, dict) and name not in value:
                yield f"{where}.{name}: missing"

    return check


def _length_check(longest: int) -> Check:
    def check(value: Any, where: str) -> Iterator[str]:
        if isinstance(value, str) and len(value) > longest:
            yield f"{where}: longer than {longest}"

    return check


def _moment(value: Any, where: str) -> Iterator[str]:
    try:
        aware = datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        aware = False
    if not aware:
        yield f"{where}: not a date-time"
