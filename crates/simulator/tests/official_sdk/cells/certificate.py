"""A certificate that a device could show, and its key: made by itself, trusted by nobody."""

import subprocess
import tempfile
import threading

ONE = threading.Lock()
MADE = {}


def files(device):
    """Paths of certificate and key."""
    with ONE:
        if device not in MADE:
            MADE[device] = make(device)
        return MADE[device]


def make(device):
    directory = tempfile.mkdtemp()
    certificate, key = f"{directory}/certificate.pem", f"{directory}/key.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command = ["openssl", "req", "-x509", *kind, "-subj", f"/CN={device}", "-out", certificate, "-keyout", key]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return certificate, key
