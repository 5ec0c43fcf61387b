"""Incident Bot: keeps incidents, and asks the model how bad they are.

    curl -d '{"summary": "web is slow", "traffic": {"syn_ratio": 0.9}}' localhost:8001/incidents
    curl localhost:8001/incidents

An incident is one line of JSON in INCIDENTS_FILE (incidents.jsonl in its own
folder), so that none is lost when the bot itself has to be healed.
"""

import json
import os
import sys
import threading
import time
from collections import deque
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from service import BadRequest, Service, ask, log, port  # noqa: E402

FILE = Path(os.environ.get("INCIDENTS_FILE") or Path(__file__).resolve().parent / "incidents.jsonl")
MODEL = os.environ.get("MODEL_URL") or "http://127.0.0.1:8080"
SEVERITY = {"attack": "critical", "suspicious": "warning", "normal": "info"}

service = Service("Incident Bot", port("PORT", 8001))
lock = threading.Lock()  # guards incidents and FILE
incidents = deque(maxlen=1000)  # newest last
service.figures = lambda: {"incidents": total()}


def total():
    return incidents[-1]["id"] if incidents else 0


def load():
    """Reads the incidents kept by earlier runs; a line that a crash cut short is passed over."""
    if not FILE.exists():
        return
    for number, line in enumerate(FILE.read_bytes().splitlines(), 1):
        try:
            incident = json.loads(line)
            incidents.append(dict(incident, id=int(incident["id"])))
        except (ValueError, TypeError, KeyError):
            log("%s:%d: not an incident, passed over" % (FILE.name, number))


def keep(incident):
    """Gives an incident its number, and keeps it."""
    with lock:
        incident["id"] = total() + 1
        with FILE.open("a+b") as file:
            if file.tell() and not ends_line(file):
                file.write(b"\n")
            file.write(json.dumps(incident).encode() + b"\n")
        incidents.append(incident)


def ends_line(file):
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def judge(traffic):
    """Severity of an incident with this traffic, and the model's score; unknown if the model can't be asked."""
    try:
        answer = ask(MODEL + "/predict", traffic)
        return SEVERITY[answer["verdict"]], answer["score"]
    except (OSError, ValueError, KeyError) as error:
        log("cannot ask the model: %s" % error)
        return "unknown", None


@service.route("POST", "/incidents")
def report(request):
    posted = request.json()
    summary, traffic = posted.get("summary"), posted.get("traffic")
    if not isinstance(summary, str) or not summary.strip():
        raise BadRequest("summary must say what happened")
    if traffic is not None and not isinstance(traffic, dict):
        raise BadRequest("traffic must be an object of the model's features")
    severity, score = ("info", None) if traffic is None else judge(traffic)
    incident = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "summary": summary.strip()[:500],
        "severity": severity,
        "score": score,
    }
    keep(incident)
    log("incident %(id)d, %(severity)s: %(summary)r" % incident)
    return incident


@service.route("GET", "/incidents")
@service.route("GET", "/")
def newest(_):
    with lock:
        return {"service": service.name, "total": total(), "incidents": list(incidents)[:-101:-1]}


if __name__ == "__main__":
    load()
    service.run()
