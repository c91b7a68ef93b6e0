"""Runs the cells SDK x operation x transport and tells of each, as one line of JSON, how it went.

The operations come from what an SDK exports, the checks from a table. An operation without a check is a cell as well, and
says so: nothing is left out in silence. A check judges by the effect on the other side and returns in a few words what it
saw, the same words in each run. `harness.cjs` is its twin for Node, and prints the same lines.
"""

import dataclasses
import importlib
import importlib.metadata
import inspect
import json
import os
import queue
import re
import sys
import threading
import time
import traceback

# The longest honest cell waits for a batch of feedback, 15 s, and what comes before it.
CELL_S = 30
# Of all cells. What has not begun by then fails, so that a simulator that hangs is told of, cell by cell.
ALL_S = 85
# Cells at once. Two processors carry no more handshakes; the rest of a cell's time is waiting.
AT_ONCE = 12
# Of what an SDK says. A line has to fit into a table.
TOLD_MAX = 160

CLIENTS = ("Client", "Manager")


@dataclasses.dataclass(frozen=True)
class Entry:
    """The check of one operation, and what is to come of it where that is not the operation's effect."""

    check: object
    # The SDK itself cannot: it has to fail in words that match.
    cannot: str = None
    # The simulator has not got this: why, and what the SDK has to be told, a pattern as well.
    absent: str = None
    told: str = None


class Table(dict):
    """Checks by operation. `@table.of("name")` says that what follows is one."""

    def of(self, *operations, **expected):
        def enter(check):
            for operation in operations:
                self[operation] = Entry(check, **expected)
            return check

        return enter


@dataclasses.dataclass(frozen=True)
class Cell:
    sdk: str
    transport: str
    operation: str
    entry: object
    # What the check is called with.
    at: object

    def line(self, result, detail):
        version = importlib.metadata.version(self.sdk)
        told = {"sdk": self.sdk, "version": version, "transport": self.transport, "operation": self.operation}
        return {**told, "result": result, "detail": detail}


def clients(module):
    """The classes that a module exports for its users to talk to a service with."""
    exported = importlib.import_module(module)
    classes = [getattr(exported, name) for name in exported.__all__]
    return [one for one in classes if inspect.isclass(one) and one.__name__.endswith(CLIENTS)]


def operations(client):
    """Public methods and properties of a class, inherited ones too."""
    return [name for name, _ in inspect.getmembers(client) if not name.startswith("_")]


class Late(Exception):
    """Nothing came in time."""


def within(seconds, what, call, *args, **named):
    """Calls what may wait for ever; gives its result, or gives up."""
    done = queue.Queue()

    def run():
        try:
            done.put((call(*args, **named), None))
        except BaseException as error:
            done.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = done.get(timeout=seconds)
    except queue.Empty:
        raise Late(f"{what}: nothing within {seconds} s") from None
    if error is not None:
        raise error
    return result


def poll(seconds, what, look):
    """What `look` gives as soon as it gives something."""
    until = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > until:
            raise Late(f"{what}: not within {seconds} s")
        time.sleep(0.05)
    return found


def told(error):
    """What went wrong, in the SDK's words: its class and its text, without what differs in each run."""
    text = said(error)
    # What an SDK says in general, it was told in particular.
    while error.__cause__ is not None and "Unexpected failure" in text:
        error = error.__cause__
        text += f" ({said(error)})"
    return tidy(text)[:TOLD_MAX]


def said(error):
    """An error's class and text, with what the hub had answered over HTTPS."""
    text = f"{type(error).__name__}: {error}"
    response = getattr(error, "response", None)
    return text if response is None else f"{text} {response.status_code} {message_of(response.text)}"


def tidy(text):
    """On one line, and the same in each run: no ids of requests, no times."""
    # What the hub says over AMQP is JSON: its number and its words.
    text = re.sub(r'\{"errorCode":(\d+),"message":"([^"]*)".*?\}', r"\1 \2", text)
    text = re.sub(r"\b[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}(_G\d+)?\b", "…", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z?|\b0x[0-9a-f]+\b", "…", text)
    return " ".join(text.split())


def message_of(body):
    """The text of a hub's error."""
    try:
        return json.loads(body).get("Message", body)
    except (ValueError, AttributeError):
        return body


def judge(cell):
    """Runs a check, and says what came of it."""
    entry = cell.entry
    if entry is None:
        return "no check", "exported, and no check for it here"
    try:
        saw = within(CELL_S, "the whole cell", entry.check, cell.at)
    except BaseException as error:
        return refused(entry, error)
    if entry.cannot:
        return "failed", f"the SDK can, although it was to say {entry.cannot}"
    if entry.absent:
        return "failed", f"works, although it was not to: {entry.absent}"
    return "ok", saw or ""


def refused(entry, error):
    words = told(error)
    if entry.cannot and re.search(entry.cannot, words):
        return "sdk cannot", words
    if entry.absent and re.search(entry.told, words):
        return "not offered", f"{entry.absent}; the SDK was told {words}"
    if "CELLS_TRACE" in os.environ:
        traceback.print_exception(error, file=sys.stderr)
    return "failed", words


def run(cells):
    """Runs all, some at once, and prints each in the order in which they were given."""
    only = re.compile(os.environ.get("CELLS_ONLY", ""))
    cells = [cell for cell in cells if only.search(f"{cell.sdk} {cell.transport} {cell.operation}")]
    begun, waiting = time.monotonic(), queue.SimpleQueue()
    lines, finished = [None] * len(cells), threading.Semaphore(0)
    for place in enumerate(cells):
        waiting.put(place)

    def work():
        while True:
            number, cell = waiting.get()
            at = time.monotonic()
            result = judge(cell) if at - begun < ALL_S else ("failed", f"not begun within {ALL_S} s")
            lines[number] = cell.line(*result)
            if "CELLS_TRACE" in os.environ:
                print(f"{time.monotonic() - at:.1f} s", json.dumps(lines[number]), file=sys.stderr)
            finished.release()

    for _ in range(AT_ONCE):
        threading.Thread(target=work, daemon=True).start()
    for _ in cells:
        finished.acquire()
    for line in lines:
        print(json.dumps(line, ensure_ascii=False))
