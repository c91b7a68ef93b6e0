"""All faults of list.json as Microsoft's SDKs for Python show them: prints a line of JSON for each SDK and transport that
meets one. Runs with the Python that `install` made."""

import json
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
# What both rooms need is there. This one comes first: its files are called after the same SDKs.
sys.path.insert(1, str(HERE.parent / "cells"))

from hub_side import Hub
from meeting import run
from trust import trust


def main():
    hub = Hub()
    trust(hub.ca_file)
    import device
    import events
    import provisioning
    import service

    rooms = {"device": device, "provisioning": provisioning, "service": service, "events": events}
    faults = json.loads((HERE / "list.json").read_text())
    run(hub, faults, rooms)
    sys.stdout.flush()
    # Not closed but left: the SDKs' threads would be waited for.
    os._exit(0)


main()
