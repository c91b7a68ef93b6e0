"""All cells of Microsoft's SDKs for Python: prints one line of JSON for each. Runs with the Python that `install` made.

The CA's certificate comes to each SDK the way that it has: the device SDK takes it as text, the reader as a file, requests
from REQUESTS_CA_BUNDLE. uamqp knows only the file that certifi names; so certifi is told another before anybody asks it.
"""

import logging
import os
import sys
import warnings

import certifi

from harness import run
from hub_side import Hub


def main():
    hub = Hub()
    os.environ["REQUESTS_CA_BUNDLE"] = hub.ca_file
    certifi.where = lambda: hub.ca_file
    # What they log is no result, and uamqp warns that it is old.
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
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
