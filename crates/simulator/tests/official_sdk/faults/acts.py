"""What a program does when it meets a fault, and what its SDK has to show it.

It is a function; one that yields is connected by then, and goes on when the fault has been switched on. It gives in a few words
what the SDK showed, the same words in each run, or the SDK's error does. A pattern says what that has to be.
"""

import dataclasses
import importlib.metadata
import inspect
import json
import os
import re
import sys
import time
import traceback

from harness import Late, said, tidy, within
from hub_side import Hub

# The longest honest one registers slowly: five answers 1.5 s late each, and 2 s until the SDK asks what came of it.
CELL_S = 20
# Of nothing: a program that has heard nothing for so long has heard nothing. Whoever is to say something does within 1 s.
SILENT_S = 3
TRACES = "CELLS_TRACE" in os.environ
# Of what an SDK says. A note has to be read by somebody.
TOLD_MAX = 300
# What requests says of itself, which is long.
POOL = re.compile(r"HTTPSConnectionPool\(.*?\): Max retries exceeded with url: \S+")
# Some SDKs say all of it again behind what they add.
TWICE = re.compile(r"(.{40,}?)(.*?)( Error Description:)? \1.*")


@dataclasses.dataclass(frozen=True)
class Row:
    """What a program does, and what it has to see."""

    act: object
    sees: str
    # Why that is not what the SDK was told.
    hidden: str = None
    # What of it the SDK keeps to itself, where the rest is as it should be.
    but: str = None


class Table(dict):
    """Rows by fault and transport. `@table.of("fault", sees=…)` says that what follows is what a program does."""

    def __init__(self, *transports):
        self.transports = transports

    def of(self, *faults, over=None, **expected):
        def enter(act):
            for fault in faults:
                for transport in over or self.transports:
                    self[fault, transport] = Row(act, **expected)
            return act

        return enter


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a cell is: a device of its own."""

    hub: Hub
    transport: str
    device: str

    def prepare(self):
        """What has to be there before anything goes wrong: nothing, unless a room says otherwise."""


@dataclasses.dataclass(frozen=True)
class Cell:
    fault: dict
    sdk: str
    transport: str
    row: Row
    # What the act is called with.
    at: object

    @property
    def name(self):
        return f"{self.fault['of']}: {self.fault['fault']} {self.sdk} {self.transport}"

    def line(self, result, detail):
        of, fault, version = self.fault["of"], self.fault["fault"], importlib.metadata.version(self.sdk)
        where = {"of": of, "fault": fault, "sdk": self.sdk, "version": version, "transport": self.transport}
        return {**where, "result": result, "detail": detail}


def words(error):
    """An error in the SDK's words, and its causes where they say more."""
    told = POOL.sub("…", tidy(said(error)))
    while error.__cause__ is not None:
        error = error.__cause__
        if str(error) not in told:
            told += f" ({tidy(said(error))})"
    return TWICE.sub(r"\1\2", told)[:TOLD_MAX]


def silent(what, call, *args, **named):
    """Calls what is not to come back."""
    try:
        within(SILENT_S, what, call, *args, **named)
    except Late:
        return f"nothing: {what} has not come back after {SILENT_S} s"
    return f"{what} has come back"


class Running:
    """An act under way."""

    def __init__(self, cell):
        self.cell, self.result, self.act = cell, None, None

    def prepare(self):
        """What has to be there before anything goes wrong."""
        self.cell.at.prepare()

    def open(self):
        """As far as it goes before the fault is there."""
        if inspect.isgeneratorfunction(self.cell.row.act):
            self.act = self.cell.row.act(self.cell.at)
            _, error = self.bounded(lambda: next(self.act))
            if error:
                self.result = "failed", f"before the fault: {error}"

    def meet(self):
        if self.result is None:
            saw, error = self.bounded(self.finish)
            self.result = self.judge(error or saw or "")
        if TRACES:
            print(json.dumps(self.cell.line(*self.result), ensure_ascii=False), file=sys.stderr)

    def finish(self):
        if self.act is None:
            return self.cell.row.act(self.cell.at)
        try:
            next(self.act)
        except StopIteration as end:
            return end.value
        raise AssertionError("the act waits for a second fault")

    def bounded(self, call):
        """What a part of it saw, or the error with which it ended."""
        begun = time.monotonic()
        try:
            return within(CELL_S, "the whole cell", call), None
        except Exception as error:
            if TRACES:
                traceback.print_exception(error, file=sys.stderr)
            return None, words(error)
        finally:
            if TRACES:
                print(f"{time.monotonic() - begun:.1f} s {self.cell.name}\n", file=sys.stderr, end="")

    def judge(self, saw):
        row = self.cell.row
        if not re.search(row.sees, saw):
            return "failed", f"{saw} and not {row.sees}"
        if row.hidden:
            return "hidden", f"{saw}; {row.hidden}"
        return "ok", f"{saw}; {row.but}" if row.but else saw
