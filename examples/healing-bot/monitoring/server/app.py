"""Monitoring Server: the load of this host and the health of the other services.

    curl localhost:5000/api/metrics

A background thread takes a sample every INTERVAL seconds, so that an answer
never waits for a service that hangs. Figures that the host does not tell are null.
"""

import os
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from service import Service, ask, port  # noqa: E402

INTERVAL = 5.0
WATCHED = {  # title: (variable that overrides its address, address)
    "DDoS Model API": ("MODEL_URL", "http://127.0.0.1:8080"),
    "Network Analyzer": ("NETWORK_ANALYZER_URL", "http://127.0.0.1:8000"),
    "Incident Bot": ("INCIDENT_BOT_URL", "http://127.0.0.1:8001"),
    "ML Dashboard": ("DASHBOARD_URL", "http://127.0.0.1:3001"),
    "Healing Dashboard": ("HEALING_DASHBOARD_URL", "http://127.0.0.1:5001"),
}

service = Service("Monitoring Server", port("MONITORING_SERVER_PORT", 5000))
latest = {"at": None, "host": {}, "services": {}}  # replaced as a whole, never changed
service.figures = lambda: {"sampled_at": latest["at"]}


def processor_times():
    """Busy and total time of all processors since boot, or None."""
    try:
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    return sum(fields) - fields[3] - fields[4], sum(fields)  # 3 and 4: idle, waiting for a disk


def cpu_percent(before, after):
    if not before or not after or after[1] <= before[1]:
        return None
    return round(100 * (after[0] - before[0]) / (after[1] - before[1]), 1)


def memory():
    """Total and available memory in bytes; None where the host does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return {"total": None, "available": None}
    kilobytes = {name: int(rest.split()[0]) for name, rest in (line.split(":") for line in lines)}
    return {"total": kilobytes["MemTotal"] * 1024, "available": kilobytes["MemAvailable"] * 1024}


def look_at(url):
    """What a service says of its health, with how long it took to say so."""
    began = time.monotonic()
    try:
        answer = {"healthy": True, "says": ask(url + "/health")}
    except (OSError, ValueError) as error:
        answer = {"healthy": False, "why": str(error)}
    return dict(answer, milliseconds=round(1000 * (time.monotonic() - began), 1))


def sample(before, after):
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "host": {
            "cpu_percent": cpu_percent(before, after),
            "load": list(os.getloadavg()),
            "memory": memory(),
        },
        "services": {title: look_at(os.environ.get(name) or url) for title, (name, url) in WATCHED.items()},
    }


def watch():
    global latest
    before = None
    while True:
        after = processor_times()
        latest = sample(before, after)
        before = after
        time.sleep(INTERVAL)


@service.route("GET", "/")
@service.route("GET", "/api/metrics")
def metrics(_):
    return latest


if __name__ == "__main__":
    threading.Thread(target=watch, daemon=True).start()
    service.run()
