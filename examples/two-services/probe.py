"""The healthcheck: exits 0 when the port given answers /healthz with 200."""

import sys
from urllib.request import urlopen

with urlopen(f"http://127.0.0.1:{sys.argv[1]}/healthz", timeout=2) as response:
    sys.exit(response.status != 200)
