"""A server written with Qpid Proton: plays the house of main.rs.

Prints its port, then for each connection that ends one line of JSON with what it saw. Takes as argument the idle time-out
that it announces, in milliseconds. Ends with its input.
"""

import os
import re
import sys
import threading
from collections import Counter

from proton import Condition, Handler
from proton.reactor import Container

from proton_words import BIG, VERDICTS, data, fate, judge, received, tell, told

IDLE_MS = int(sys.argv[1])
GONE = Condition("longhaul:gone", "the room is closed")
STORES = {"numbers": [str(n) for n in range(500)], "three": ["0", "1", "2"], "big": [BIG]}


class House(Handler):
    """What is common to all rooms, and how they turn a guest away."""

    turned_away = set()  # links, by name

    def on_connection_bound(self, event):
        event.transport.max_frame_size = 16384
        event.transport.idle_timeout = 2 * IDLE_MS / 1000  # Proton announces the half
        event.transport.sasl().allow_insecure_mechs = True

    def on_connection_remote_open(self, event):
        mechanism, user = event.transport.sasl().mech, event.transport.user
        event.connection.report = {
            "mechanism": f"{mechanism} {user}" if mechanism == "PLAIN" else mechanism or "none",
            "sessions": 0, "judged": {"messages": 0, "bytes": 0, "in_order": True}, "overrun": False,
            "fates": {}, "links": [], "ended": [], "closed": None,
            "announced": round(1000 * event.transport.remote_idle_timeout) or None,
        }
        event.connection.open()

    def on_session_remote_open(self, event):
        event.connection.report["sessions"] += 1
        event.session.open()

    def on_link_remote_open(self, event):
        link, report = event.link, event.connection.report
        address = link.remote_source.address if link.is_sender else link.remote_target.address
        if address != "refuse":
            link.source.copy(link.remote_source)
            link.target.copy(link.remote_target)
        link.open()
        if link.is_sender:
            link.handler = Store(address, report)
            return
        match address:
            case "close" | "detach":
                self.turned_away.add(link.name)
                link.condition = GONE
                link.close() if address == "close" else link.detach()  # Proton's detach carries no error
            case "refuse":
                link.condition = Condition("longhaul:refused", "no such room")
                link.close()
            case "end":
                link.session.condition = GONE
                link.session.close()
            case "shut":
                event.connection.condition = GONE
                event.connection.close()
            case _:
                link.handler = Judge(link, report)

    def on_link_remote_close(self, event):
        if event.link.remote_condition:
            event.connection.report["links"].append(f"closed {told(event.link.remote_condition)}")
        event.link.close()

    def on_link_remote_detach(self, event):
        if event.link.name not in self.turned_away:
            how = " ".join(filter(None, ["detached", told(event.link.remote_condition)]))
            event.connection.report["links"].append(how)
            event.link.detach()

    def on_session_remote_close(self, event):
        if event.session.remote_condition:
            event.connection.report["ended"].append(told(event.session.remote_condition))
        event.session.close()

    def on_connection_remote_close(self, event):
        event.connection.report["closed"] = told(event.connection.remote_condition)
        event.connection.close()

    def on_transport_closed(self, event):
        if hasattr(event.connection, "report"):
            tell(event.connection.report)


class Judge(House):
    """Verdicts are given by the message's own words. Credit comes by the hundred, when the last of it is used up."""

    def __init__(self, link, report):
        self.link, self.report, self.before = link, report, -1
        self.more()

    def more(self):
        self.left = 100
        self.link.flow(100)

    def on_timer_task(self, event):
        self.more()

    def on_delivery(self, event):
        delivery = event.delivery
        if not delivery.readable or delivery.partial:
            return
        body = received(delivery)
        judged, text = self.report["judged"], body[:20].decode("latin1")
        judged["messages"] += 1
        judged["bytes"] += len(body)
        if re.fullmatch(r"\d+", text):
            judged["in_order"] &= int(text) == self.before + 1
            self.before = int(text)
        self.report["overrun"] |= self.left == 0
        self.left -= 1
        judge(delivery, text if text in VERDICTS else "accepted")
        if self.left == 0:
            event.reactor.schedule(0, self)


class Store(House):
    """Gives what it has, and notes what became of it."""

    def __init__(self, address, report):
        self.left, self.fates = list(STORES[address]), report["fates"].setdefault(address, Counter())

    def on_link_flow(self, event):
        while event.link.credit and self.left:
            event.link.send(data(self.left.pop(0)))
        if event.link.drain_mode:
            event.link.drained()

    def on_delivery(self, event):
        if event.delivery.settled:
            self.fates[fate(event.delivery)] += 1
            event.delivery.settle()


def leave_with_input():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=leave_with_input, daemon=True).start()
container = Container(House())
acceptor = container.listen("127.0.0.1:0")
tell({"port": acceptor._selectable._delegate.getsockname()[1]})
container.run()
