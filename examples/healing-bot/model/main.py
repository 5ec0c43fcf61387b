"""DDoS Model API: scores a window of network traffic between 0 (calm) and 1 (attack).

    curl -d '{"packets_per_second": 90000, "syn_ratio": 0.9}' localhost:8080/predict

A logistic model over four features with weights set by hand: small enough to
follow with a pencil, and each answer says how much each feature added to it.
"""

import math
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from service import BadRequest, Service, port  # noqa: E402


def magnitude(value):
    return math.log10(1 + value)


def tenfold_smaller(value):
    return max(0.0, 3 - magnitude(value))


def unchanged(value):
    return value


# name: (value when not given, highest value, transformation, weight)
FEATURES = {
    "packets_per_second": (1000.0, 1e12, magnitude, 1.6),
    "unique_sources": (50.0, 1e12, magnitude, 0.9),
    "bytes_per_packet": (700.0, 65535.0, tenfold_smaller, 1.2),
    "syn_ratio": (0.05, 1.0, unchanged, 3.5),
}
BIAS = -10.0
ATTACK, SUSPICIOUS = 0.8, 0.4

service = Service("DDoS Model API", port("MODEL_PORT", 8080))
lock = threading.Lock()  # guards counts
counts = {"predictions": 0, "attacks": 0}
service.figures = lambda: counts


def read(traffic):
    """The value of each feature, or BadRequest."""
    values = {}
    for name, (default, highest, _, _) in FEATURES.items():
        value = traffic.get(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= highest:
            raise BadRequest("%s must be a number from 0 to %g" % (name, highest))
        values[name] = value
    return values


def score(values):
    """The score, and what each feature added before the logistic function."""
    parts = {name: weight * shape(values[name]) for name, (_, _, shape, weight) in FEATURES.items()}
    return 1 / (1 + math.exp(-(BIAS + sum(parts.values())))), parts


@service.route("POST", "/predict")
def predict(request):
    result, parts = score(read(request.json()))
    verdict = "attack" if result >= ATTACK else "suspicious" if result >= SUSPICIOUS else "normal"
    with lock:
        counts["predictions"] += 1
        counts["attacks"] += verdict == "attack"
    return {
        "score": round(result, 4),
        "verdict": verdict,
        "parts": {name: round(part, 2) for name, part in parts.items()},
    }


@service.route("GET", "/")
def about(_):
    return {
        "service": service.name,
        "predict": "POST /predict with any of the features",
        "features": {name: {"default": default, "highest": top} for name, (default, top, _, _) in FEATURES.items()},
    }


if __name__ == "__main__":
    service.run()
