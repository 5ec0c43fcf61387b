"""ML Dashboard: a page with the figures of the model and the analyzer, live.

The page asks /api/figures every two seconds; the figures are the monitoring
server's, so that one service asks the others and not every page of every reader.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from service import Service, ask, port  # noqa: E402

PAGE = (Path(__file__).resolve().parent / "page.html").read_text(encoding="utf-8")
MONITORING = os.environ.get("MONITORING_SERVER_URL") or "http://127.0.0.1:5000"
SHOWN = ("DDoS Model API", "Network Analyzer")

service = Service("ML Dashboard", port("DASHBOARD_PORT", 3001), health="/")


@service.route("GET", "/")
def page(_):
    return PAGE


@service.route("GET", "/api/figures")
def figures(_):
    """{"at": ..., "services": {title: ...}}; "error" says why there are none."""
    try:
        metrics = ask(MONITORING + "/api/metrics")
    except (OSError, ValueError) as error:
        return {"at": None, "services": {}, "error": "cannot ask the monitoring server: %s" % error}
    services = {title: metrics["services"][title] for title in SHOWN if title in metrics["services"]}
    return {"at": metrics["at"], "services": services}


if __name__ == "__main__":
    service.run()
