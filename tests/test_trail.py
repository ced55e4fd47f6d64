"""Audit events reach standard output in order and whole, or are counted."""

import fcntl
import json
import os
import resource
import select
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sso_box_api.trail import Trail

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def _line(**values: object) -> bytes:
    return json.dumps(values).encode()


def _drain(pipe: Pipe) -> list[dict[str, Any]]:
    lines = b""
    while select.select([pipe[0]], [], [], 0)[0]:
        lines += os.read(pipe[0], 1 << 20)
    return [json.loads(line) for line in lines.splitlines()]


def test_what_was_added_before_the_end_is_written_in_order(pipe: Pipe) -> None:
    with Trail(pipe[1]) as trail:
        for number in range(500):
            trail.add(_line(number=number))
    assert [line["number"] for line in _drain(pipe)] == list(range(500))


def test_several_workers_never_tear_each_others_lines(pipe: Pipe) -> None:
    """As a pipe takes PIPE_BUF bytes at once, whoever else writes to it."""
    read: list[dict[str, object]] = []
    done = threading.Event()

    def reader() -> None:
        with os.fdopen(os.dup(pipe[0])) as lines:
            for line in lines:
                read.append(json.loads(line))
                if len(read) == 3000:
                    done.set()
                    return

    thread = threading.Thread(target=reader, daemon=True)
    thread.start()
    with Trail(pipe[1]) as one, Trail(pipe[1]) as other:
        for number in range(1500):
            one.add(_line(one=number, pad="x" * 700))
            other.add(_line(other=number, pad="y" * 900))
    assert done.wait(20)
    for name in ("one", "other"):
        assert [line[name] for line in read if name in line] == list(range(1500))


def test_what_finds_the_buffer_full_is_counted(pipe: Pipe) -> None:
    """Nobody reads for a while; the count is told once somebody does."""
    fcntl.fcntl(pipe[1], fcntl.F_SETFL, os.O_NONBLOCK)
    os.write(pipe[1], b" " * 65_536)
    told: list[dict[str, Any]] = []
    added = 100
    with Trail(pipe[1], most_lines=10) as trail:
        for number in range(added):
            trail.add(_line(number=number))
        # Before anybody is told, for that may be never.
        dropped = trail.dropped
        os.read(pipe[0], 65_536)
        # Until the buffer is written, they too find it full.
        while not any(line.get("number", 0) >= 100 for line in told):
            trail.add(_line(number=added))
            added += 1
            assert select.select([pipe[0]], [], [], 20)[0]
            told += _drain(pipe)
    told += _drain(pipe)
    numbers = [line["number"] for line in told if "number" in line]
    counts = [line["count"] for line in told if "number" not in line]
    assert {"event": "events_dropped", "count": counts[0]} in told
    assert numbers == sorted(numbers)
    assert len(numbers) + sum(counts) == added
    assert 0 < dropped <= trail.dropped == sum(counts)


def test_events_that_nobody_can_be_given_are_an_error_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with Trail(writer) as trail:
            trail.add(b"{}")
            for _ in range(1000):
                if trail.dropped:
                    break
                threading.Event().wait(0.01)
            assert trail.dropped == 1
    finally:
        os.close(writer)
    assert "audit events cannot be written" in caplog.text
    assert "1 audit events were lost at the end" in caplog.text


def test_a_line_that_a_full_disk_cut_off_spoils_no_other(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk, far past any other file's."""
    full_at = 1 << 40
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    with (tmp_path / "events").open("w+b", buffering=0) as file:
        file.seek(full_at - 5)
        with Trail(file.fileno()) as trail:
            resource.setrlimit(resource.RLIMIT_FSIZE, (full_at, former[1]))
            try:
                trail.add(_line(number=1))
                while file.tell() < full_at:
                    threading.Event().wait(0.01)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, former)
            trail.add(_line(number=2))
        file.seek(full_at - 5)
        cut, *lines = file.read().splitlines()
    assert cut == _line(number=1)[:5]
    told = [json.loads(line) for line in lines]
    assert {"number": 2} in told
