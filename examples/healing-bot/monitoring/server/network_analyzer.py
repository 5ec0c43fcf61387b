"""Network Analyzer: asks the model for its verdict on traffic.

Every INTERVAL seconds it makes up a window of traffic, mostly calm and now and
then a flood, and asks the model about it. Real traffic can be posted:

    curl -d '{"packets_per_second": 90000, "syn_ratio": 0.9}' localhost:8000/analyze
"""

import os
import random
import sys
import threading
import time
import urllib.error
from collections import deque
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from service import BadRequest, Service, ask, log, port  # noqa: E402

INTERVAL = 5.0
FLOODS = 0.15  # share of the made-up windows
MODEL = os.environ.get("MODEL_URL") or "http://127.0.0.1:8080"

service = Service("Network Analyzer", port("PORT", 8000))
lock = threading.Lock()  # guards counts and recent
counts = {"normal": 0, "suspicious": 0, "attack": 0, "unanswered": 0}
recent = deque(maxlen=20)  # newest last
service.figures = lambda: {"windows": dict(counts)}


def made_up():
    """One window of traffic."""
    if random.random() < FLOODS:
        return {
            "packets_per_second": round(random.lognormvariate(11.5, 0.6)),
            "unique_sources": random.randint(2000, 40000),
            "bytes_per_packet": random.randint(40, 90),
            "syn_ratio": round(random.uniform(0.7, 0.98), 2),
        }
    return {
        "packets_per_second": round(random.lognormvariate(6.5, 0.8)),
        "unique_sources": random.randint(5, 120),
        "bytes_per_packet": random.randint(300, 1200),
        "syn_ratio": round(random.uniform(0.01, 0.12), 2),
    }


def analyze(traffic):
    """The model's verdict on traffic, remembered; a verdict of "unanswered" if the model has none."""
    try:
        answer = ask(MODEL + "/predict", traffic)
        if answer.get("verdict") not in counts:
            raise ValueError("the answer has no verdict")
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 400:
                raise BadRequest("the model refused it: %s" % error.read().decode(errors="replace").strip())
        answer = {"verdict": "unanswered", "error": str(error)}
    except (OSError, ValueError) as error:
        answer = {"verdict": "unanswered", "error": str(error)}
    window = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "traffic": traffic, "answer": answer}
    with lock:
        counts[answer["verdict"]] += 1
        recent.append(window)
    if answer["verdict"] != "normal":
        log("%s: %s" % (answer["verdict"], answer.get("error") or traffic))
    return window


@service.route("POST", "/analyze")
def analyze_posted(request):
    return analyze(request.json())


@service.route("GET", "/")
def newest(_):
    with lock:
        return {"service": service.name, "model": MODEL, "windows": dict(counts), "recent": list(recent)[::-1]}


def watch():
    while True:
        analyze(made_up())
        time.sleep(INTERVAL)


if __name__ == "__main__":
    threading.Thread(target=watch, daemon=True).start()
    service.run()
