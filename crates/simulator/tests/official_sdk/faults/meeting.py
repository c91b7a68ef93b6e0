"""Runs the cells fault x SDK x transport and tells of each, as one line of JSON, what the SDK showed.

Faults are switched on one after the other, and all clients meet one at once; those that cannot disturb each other are met
beside each other.
"""

import contextlib
import json
import os
import re
import threading

from acts import Cell, Running, words

# Cells at once, of faults that need no switch. Two processors carry no more handshakes.
AT_ONCE = 12


def cells(room, hub, fault):
    """Who meets a fault in a room."""
    for (name, transport), row in room.faults.items():
        if name == fault["fault"]:
            device = re.sub("[^a-z0-9]+", "-", f"py-{fault['of']}-{name}-{transport}".lower())
            yield Cell(fault, room.SDK, transport, row, room.At(hub, transport, device))


def at_once(acts, do):
    """Does something with each of them; all have a bound of their own."""
    room = threading.Semaphore(AT_ONCE)

    def one(act):
        with room:
            do(act)

    threads = [threading.Thread(target=one, args=(act,), daemon=True) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def each_its_own(switch, count):
    """Faults that hit the next call, for so many clients that come at once."""
    if isinstance(switch, dict):
        own = lambda name, value: value * count if name == "next" else each_its_own(value, count)
        return {name: own(name, value) for name, value in switch.items()}
    return [each_its_own(one, count) for one in switch] if isinstance(switch, list) else switch


class Switches:
    """What is switched on. The simulator takes all of it at once; provisioning and the hub go wrong each for itself."""

    def __init__(self, hub):
        self.hub, self.on, self.one = hub, {}, threading.Lock()

    def set(self, of, switch):
        with self.one:
            self.on[of] = switch
            self.hub.control("/api/faults", {name: what for some in self.on.values() for name, what in some.items()})

    @contextlib.contextmanager
    def switched(self, of, switch):
        if switch is None:
            yield
            return
        try:
            self.set(of, switch)
            yield
        finally:
            self.set(of, {})


def meet(switches, fault, cells):
    """All clients that meet a fault, at once; gives their lines."""
    acts = [Running(cell) for cell in cells]
    of = "dps" if fault["of"] == "provisioning" else "hub"
    at_once(acts, Running.prepare)
    try:
        with switches.switched(of, each_its_own(fault.get("set"), len(acts))):
            at_once(acts, Running.open)
            with switches.switched(of, each_its_own(fault.get("then"), len(acts))):
                if what := fault.get("then_device"):
                    for cell in cells:
                        switches.hub.control(f"/api/devices/{cell.at.device}/{what}", {})
                if seconds := fault.get("forward_s"):
                    switches.hub.control("/api/clock", {"forward_s": seconds})
                at_once(acts, Running.meet)
    except OSError as error:
        return [cell.line("failed", f"cannot be switched on: {words(error)}") for cell in cells]
    return [act.cell.line(*act.result) for act in acts]


def place(fault):
    """With which others it is met."""
    switch = json.dumps([fault.get("set"), fault.get("then")])
    # It meets all connections, or the tokens of all that come later: those are made in real time.
    if '"all"' in switch or "forward_s" in fault:
        return "alone"
    if fault["of"] == "provisioning":
        # Counting begins anew with each change.
        return "counted" if '"next"' in switch else "refused" if refusals(fault) is not None else "provisioning"
    return "hub" if any(name in fault for name in ("set", "then")) else "quiet"


def refusals(fault):
    """The registrations that are refused, where that is all there is to it; none where nothing is switched on."""
    switch = fault.get("set", {"dps": {"refuse": []}})
    return switch["dps"].get("refuse")


def check_listed(rooms, faults):
    """A row whose fault nobody switches on would be left out in silence."""
    listed = {(fault["of"], fault["fault"]) for fault in faults}
    rows = {(of, name) for of, room in rooms.items() for name, _ in room.faults}
    if rows - listed:
        raise SystemExit(f"not in the list: {sorted(rows - listed)}")


def run(hub, faults, rooms):
    """Meets all faults of the list, and prints what was seen in its order."""
    check_listed(rooms, faults)
    only = re.compile(os.environ.get("CELLS_ONLY", ""))
    met = [[cell for cell in cells(rooms[fault["of"]], hub, fault) if only.search(cell.name)] for fault in faults]
    lines, switches = {}, Switches(hub)

    def places(name):
        some = [number for number, fault in enumerate(faults) if met[number] and place(fault) == name]
        return sorted(some, key=lambda number: faults[number].get("forward_s", 0))

    def one(number, is_on=False):
        fault = {**faults[number], "set": None} if is_on else faults[number]
        lines[number] = meet(switches, fault, met[number])

    def one_by_one(name):
        for number in places(name):
            one(number)

    def refused():
        """Each by its own ids, so all of them at once."""
        some = places("refused")
        ids = lambda number: [cell.at.device for cell in met[number]]
        switch = [{**refusal, "ids": ids(number)} for number in some for refusal in refusals(faults[number])]
        with switches.switched("dps", {"dps": {"refuse": switch}}):
            at_once(some, lambda number: one(number, is_on=True))

    at_once([lambda: at_once(places("quiet"), one), lambda: one_by_one("counted")], lambda group: group())
    at_once([lambda: (refused(), one_by_one("provisioning")), lambda: one_by_one("hub")], lambda group: group())
    one_by_one("alone")
    for number in sorted(lines):
        for line in lines[number]:
            print(json.dumps(line, ensure_ascii=False))
