"""How the SDKs for Python come to trust the simulator.

The CA's certificate comes to each SDK the way that it has: the device SDK takes it as text, the reader as a file, requests
from REQUESTS_CA_BUNDLE. uamqp knows only the file that certifi names; so certifi is told another before anybody asks it.
"""

import logging
import os
import warnings

import certifi


def trust(ca_file):
    """To be called before an SDK is imported."""
    os.environ["REQUESTS_CA_BUNDLE"] = ca_file
    certifi.where = lambda: ca_file
    # What they log is no result, and uamqp warns that it is old.
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    import uamqp

    # It sets up OpenSSL with its first connection. Of two that begin at once one would fail.
    uamqp._Platform.initialize()
