"""Healing Dashboard: a page that shows healbot's .service_status.json live.

The file is in the project directory: HEALBOT_PROJECT_DIR, or else the nearest
folder that has one, looked for upwards from the current directory. The page asks
/api/status for it every second, and /api/host, apart, for the monitoring
server's figures, so that the table never waits for a service that hangs.
"""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from service import Service, ask, port  # noqa: E402

PAGE = (Path(__file__).resolve().parent / "healing_dashboard.html").read_text(encoding="utf-8")
MONITORING = os.environ.get("MONITORING_SERVER_URL") or "http://127.0.0.1:5000"
NAME = ".service_status.json"

service = Service("Healing Dashboard", port("HEALING_DASHBOARD_PORT", 5001), health="/")


def status_file():
    """Path of the status file, or None."""
    project = os.environ.get("HEALBOT_PROJECT_DIR")
    folders = [Path(project)] if project else [Path.cwd(), *Path.cwd().parents]
    return next((folder / NAME for folder in folders if (folder / NAME).is_file()), None)


@service.route("GET", "/")
def page(_):
    return PAGE


@service.route("GET", "/api/status")
def status(_):
    """{"file": ..., "services": [...]} in the file's order; "error" says why there are none."""
    path = status_file()
    if path is None:
        return {"file": None, "services": [], "error": "no %s: is healbot up?" % NAME}
    try:
        services = json.loads(path.read_text(encoding="utf-8"))
        rows = [dict(entry, name=name) for name, entry in services.items()]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        return {"file": str(path), "services": [], "error": "cannot read %s: %s" % (path, error)}
    return {"file": str(path), "services": rows}


@service.route("GET", "/api/host")
def host(_):
    try:
        return ask(MONITORING + "/api/metrics")["host"]
    except (OSError, ValueError) as error:
        return {"error": "no figures from the monitoring server: %s" % error}


if __name__ == "__main__":
    service.run()
