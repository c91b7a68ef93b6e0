"""A client written with Qpid Proton: plays one scene of the play in main.rs and prints, as one line of JSON, what it saw.

Takes as arguments: port, scene.
"""

import logging
import sys
import time
from itertools import count

from proton import Condition, Endpoint, Handler
from proton.reactor import Container

from proton_words import BIG, VERDICTS, data, fate, judge, received, tally, tell, told

PORT, SCENE = sys.argv[1:]
BYE = Condition("longhaul:bye", "so long")
ORDER = list(VERDICTS)
NAMES = (f"link-{n}" for n in count())
CONTAINERS = []  # one a connection: it ends with it
logging.disable()  # what the other side says ill of us is in the report


def wait(condition):
    while not condition():
        if not CONTAINERS[-1].process() and not condition():
            sys.exit("the connection ended too early")


class Door(Handler):
    """Notes that the connection failed below AMQP, as it does when the credentials are wrong."""

    failed = None

    def on_transport_error(self, event):
        self.failed = event.transport.condition.name


class Link(Handler):
    """Notes how a link ended. Being a handler of the link's own, it sees nothing else."""

    lost = None

    def on_link_remote_detach(self, event):
        self.lost = ("detached", told(event.link.remote_condition))

    def on_link_remote_close(self, event):
        self.lost = ("closed", told(event.link.remote_condition))


class Sending(Link):
    """Sends bodies as credit allows, and notes each one's fate."""

    def __init__(self, bodies):
        self.bodies, self.deliveries, self.fates = bodies, [], {}

    def on_link_flow(self, event):
        while event.link.credit and len(self.deliveries) < len(self.bodies):
            self.deliveries.append(event.link.send(data(self.bodies[len(self.deliveries)])))

    def on_delivery(self, event):
        if event.delivery.settled:
            self.fates[event.delivery.tag] = fate(event.delivery)
            event.delivery.settle()


class Receiving(Link):
    """Takes deliveries with credit for 100 at a time, and judges each."""

    def __init__(self, wanted, verdict):
        self.wanted, self.verdict, self.bodies = wanted, verdict, []

    def on_delivery(self, event):
        delivery = event.delivery
        if delivery.readable and not delivery.partial:
            self.bodies.append(received(delivery))
            judge(delivery, self.verdict(len(self.bodies) - 1))
            if len(self.bodies) % 100 == 0 and len(self.bodies) < self.wanted:
                event.link.flow(min(100, self.wanted - len(self.bodies)))


def is_open(endpoint):
    return endpoint.state & Endpoint.REMOTE_ACTIVE


def is_closed(endpoint):
    return endpoint.state & Endpoint.REMOTE_CLOSED


def connect(**options):
    container = Container()
    container.timeout = 0.1
    container.start()
    CONTAINERS.append(container)
    options = {"user": None, "allowed_mechs": "ANONYMOUS", "max_frame_size": 16384, **options}
    connection = container.connect(f"127.0.0.1:{PORT}", handler=Door(), reconnect=False, **options)
    wait(lambda: is_open(connection) or connection.handler.failed)
    return connection


def begin(connection):
    session = connection.session()
    session.open()
    return session


def sender(session, address, handler):
    link = session.sender(next(NAMES))
    link.target.address, link.handler = address, handler
    link.open()
    return link


def receiver(session, address, handler):
    link = session.receiver(next(NAMES))
    link.source.address, link.handler = address, handler
    link.open()
    return link


def detach(link):
    """Detaches and waits for the answer: rhea 3.0.5 trips over a handle that is used again at once."""
    link.close()
    wait(lambda: link.handler.lost)


def finish(links):
    """Waits until all is judged, and detaches."""
    for link in links:
        wait(lambda: len(link.handler.fates) == len(link.handler.bodies))
        detach(link)
    return [link.handler.fates[delivery.tag] for link in links for delivery in link.handler.deliveries]


def send(session, address, bodies):
    return finish([sender(session, address, Sending(bodies))])


def receive(session, address, wanted, verdict):
    link = receiver(session, address, Receiving(wanted, verdict))
    link.flow(min(100, wanted))
    wait(lambda: len(link.handler.bodies) == wanted)
    detach(link)
    return link.handler.bodies


def drain(session, address):
    link = receiver(session, address, Receiving(10, lambda _: "accepted"))
    link.drain(10)
    wait(lambda: is_open(link) and link.credit == 0)
    detach(link)
    return len(link.handler.bodies)


def rebuffed(session, address):
    """Attaches, and says how the other side took the link away."""
    link = sender(session, address, Sending([]))
    wait(lambda: link.handler.lost)
    link.close()
    return " ".join(filter(None, link.handler.lost))


def leave(session, closed):
    """Takes a link away from the other side, and waits for its answer. Proton's detach carries no error."""
    link = sender(session, "judge", Sending([]))
    wait(lambda: is_open(link))
    link.condition = BYE
    if closed:
        link.close()
    else:
        link.detach()
    wait(lambda: link.handler.lost)


def hang_up(connection, error=None):
    """Closes the connection and waits until nothing more is to be written or read."""
    connection.condition = error
    connection.close()
    while CONTAINERS[-1].process():
        pass


def work():
    connection = connect()
    first, second = begin(connection), begin(connection)
    numbers = [str(n) for n in range(1000)]
    small = finish([sender(session, "judge", Sending(numbers)) for session in (first, second)])
    verdicts = [said for verdict in ORDER for said in send(first, "judge", [verdict])]
    seen = {"small": tally(small), "verdicts": verdicts, "big": tally(send(second, "judge", [BIG]))}
    got = receive(first, "numbers", 500, lambda n: ORDER[n % 4])
    seen["numbers"] = {"count": len(got), "in_order": got == [str(n).encode() for n in range(500)]}
    [whole] = receive(second, "big", 1, lambda _: "accepted")
    seen["big_received"] = {"bytes": len(whole), "sum": sum(whole)}
    seen["drained"] = drain(first, "three")
    hang_up(connection)
    return seen


def errors():
    connection = connect()
    session = begin(connection)
    seen = {address: rebuffed(session, address) for address in ("close", "detach", "refuse")}
    leave(session, closed=True)
    leave(session, closed=False)
    ended = begin(connection)
    sender(ended, "end", Sending([]))
    wait(lambda: is_closed(ended))
    ended.close()
    seen["end"] = told(ended.remote_condition)
    another = begin(connection)
    wait(lambda: is_open(another))
    another.condition = BYE
    another.close()
    wait(lambda: is_closed(another))
    seen["after"] = tally(send(session, "judge", ["x"]))
    hang_up(connection, BYE)

    shut = connect()
    sender(begin(shut), "shut", Sending([]))
    wait(lambda: is_closed(shut))
    seen["shut"] = told(shut.remote_condition)
    hang_up(shut)
    return seen


def quiet():
    connection = connect(heartbeat=2)  # Proton announces the half
    session = begin(connection)
    end = time.monotonic() + 4
    wait(lambda: time.monotonic() > end)
    announced = round(1000 * connection.transport.remote_idle_timeout)
    seen = {"announced": announced, "after": tally(send(session, "judge", ["x"]))}
    hang_up(connection)
    return seen


def doors():
    doors = {
        "none": {"sasl_enabled": False},
        "anonymous": {},
        "plain": {"user": "device", "password": "secret", "allowed_mechs": "PLAIN"},
        "wrong": {"user": "device", "password": "guess", "allowed_mechs": "PLAIN"},
    }
    seen = {}
    for name, options in doors.items():
        connection = connect(**options)
        if connection.handler.failed == "amqp:unauthorized-access":
            seen[name] = "refused"
            continue
        seen[name] = tally(send(begin(connection), "judge", ["x"]))
        hang_up(connection)
    return seen


tell({"work": work, "errors": errors, "quiet": quiet, "doors": doors}[SCENE]())
