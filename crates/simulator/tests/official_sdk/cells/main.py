"""All cells of Microsoft's SDKs for Python: prints one line of JSON for each. Runs with the Python that `install` made."""

import os
import sys

from harness import run
from hub_side import Hub
from trust import trust


def main():
    hub = Hub()
    trust(hub.ca_file)
    import device
    import events
    import provisioning
    import service

    hub.listen()
    run([cell for part in (device, provisioning, service, events) for cell in part.cells(hub)])
    sys.stdout.flush()
    # Not closed but left: the SDKs' threads would be waited for.
    os._exit(0)


main()
