"""Runs each service as a process of its own, as healbot does, and looks at it from outside.

    python3 -m unittest discover -s examples/healing-bot
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent
DEADLINE = 60.0  # seconds; a limit for broken runs, never a time to wait

# service: (script, variable of its port, addresses that answer GET)
SERVICES = {
    "model": ("model/main.py", "MODEL_PORT", ["/", "/health"]),
    "network-analyzer": ("monitoring/server/network_analyzer.py", "PORT", ["/", "/health"]),
    "dashboard": ("monitoring/dashboard/app.py", "DASHBOARD_PORT", ["/", "/health", "/api/figures"]),
    "incident-bot": ("incident-bot/main.py", "PORT", ["/", "/health", "/incidents"]),
    "monitoring-server": ("monitoring/server/app.py", "MONITORING_SERVER_PORT", ["/", "/health", "/api/metrics"]),
    "healing-dashboard": (
        "monitoring/server/healing_dashboard_api.py",
        "HEALING_DASHBOARD_PORT",
        ["/", "/health", "/api/status", "/api/host"],
    ),
}
HEALTH = dict.fromkeys(SERVICES, "/health")
HEALTH.update({"dashboard": "/", "healing-dashboard": "/"})


def nowhere():
    """An address that refuses connections."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return "http://127.0.0.1:%d" % free.getsockname()[1]


class Running:
    """A service that was started on a free port and said that it listens."""

    def __init__(self, test, name, **environment):
        script, variable, _ = SERVICES[name]
        clean = {key: value for key, value in os.environ.items() if not key.startswith("HEAL")}
        for other in SERVICES:
            clean[other.upper().replace("-", "_") + "_URL"] = nowhere()
        folder = ROOT / Path(script).parent
        self.process = subprocess.Popen(
            [sys.executable, Path(script).name],
            cwd=str(folder),
            env=dict(clean, PYTHONDONTWRITEBYTECODE="1", **dict({variable: "0"}, **environment)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
        )
        test.addCleanup(self.kill)
        self.lines = []
        self.url = None
        self.listening = threading.Event()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            found = re.search(r"listening on (http://\S+)", line)
            if found:
                self.url = found.group(1)
                self.listening.set()
        self.listening.set()

    def wait_until_listening(self):
        self.listening.wait(DEADLINE)
        if not self.url:
            raise AssertionError("does not listen: %s" % self.lines)
        return self

    def exit_code(self):
        code = self.process.wait(DEADLINE)
        self.reader.join(DEADLINE)
        return code

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join(DEADLINE)
        self.process.stdout.close()

    def ask(self, path, body=None, timeout=DEADLINE):
        """Status, content type and body of the answer; body is posted if there is one."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url + path, data), timeout=timeout) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read().decode()

    def json(self, path, body=None):
        return json.loads(self.ask(path, body)[2])


class ServiceTest(unittest.TestCase):
    def start(self, name, **environment):
        return Running(self, name, **environment).wait_until_listening()

    def each(self, **environment):
        """Starts the six, then gives each with its name."""
        started = {name: Running(self, name, **environment) for name in SERVICES}
        for name, service in started.items():
            yield name, service.wait_until_listening()

    def until(self, condition):
        """The first true value of condition, asked again until the deadline."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            time.sleep(0.02)
        self.fail("the condition did not come true in %g seconds" % DEADLINE)


class EveryService(ServiceTest):
    def test_every_address_answers_and_sigterm_ends_it_with_0(self):
        for name, service in self.each():
            with self.subTest(name):
                for path in SERVICES[name][2]:
                    status, content_type, body = service.ask(path)
                    self.assertEqual(status, 200, path)
                    if content_type == "application/json":
                        json.loads(body)
                    else:
                        self.assertIn("<!DOCTYPE html>", body)
                self.assertEqual(service.json("/health")["status"], "healthy")
                self.assertEqual(service.ask("/no-such-address")[0], 404)
                self.assertEqual(service.ask("/health", {})[0], 405)
                service.process.send_signal(signal.SIGTERM)
                service.process.send_signal(signal.SIGINT)
                self.assertEqual(service.exit_code(), 0)
                self.assertRegex(service.lines[-1], ": stopped$")
                self.assertTrue(any("'GET /no-such-address HTTP/1.1' 404" in line for line in service.lines))
                self.assertFalse(any("'GET /health HTTP/1.1' 200" in line for line in service.lines))

    def test_without_permission_there_are_no_faults(self):
        for name, service in self.each():
            with self.subTest(name):
                for fault in ("crash", "hang", "unhealthy"):
                    self.assertEqual(service.ask("/fault/" + fault, b"")[0], 404)

    def test_crash_ends_it_with_1_and_a_reason(self):
        for name, service in self.each(HEALING_BOT_FAULTS="1"):
            with self.subTest(name):
                self.assertEqual(service.ask("/fault/crash", b"x" * 1000)[0], 200)
                self.assertEqual(service.exit_code(), 1)
                self.assertRegex(service.lines[-1], r"^service\.Fault: .* was asked to crash$")

    def test_hang_leaves_connections_unanswered(self):
        for name, service in self.each(HEALING_BOT_FAULTS="1"):
            with self.subTest(name):
                self.assertEqual(service.ask("/fault/hang", b"")[0], 200)
                with self.assertRaises(OSError):
                    service.ask(HEALTH[name], timeout=0.3)
                service.process.send_signal(signal.SIGTERM)
                self.assertEqual(service.exit_code(), 0)

    def test_unhealthy_answers_503(self):
        for name, service in self.each(HEALING_BOT_FAULTS="1"):
            with self.subTest(name):
                self.assertEqual(service.ask("/fault/unhealthy", b"")[0], 200)
                self.assertEqual(service.ask(HEALTH[name])[0], 503)
                self.assertEqual(service.ask("/health")[0], 503)

    def test_port_in_use_is_said_in_the_last_line(self):
        with socket.socket() as owner:
            owner.bind(("127.0.0.1", 0))
            owner.listen(1)
            number = owner.getsockname()[1]
            for name, (_, variable, _) in SERVICES.items():
                with self.subTest(name):
                    service = Running(self, name, **{variable: str(number)})
                    self.assertEqual(service.exit_code(), 1)
                    self.assertRegex(service.lines[-1], "cannot listen on 127.0.0.1:%d: port is in use$" % number)

    def test_a_port_that_is_no_number_is_said_in_the_last_line(self):
        service = Running(self, "model", MODEL_PORT="http")
        self.assertEqual(service.exit_code(), 1)
        self.assertEqual(service.lines[-1], "MODEL_PORT must be a port number, not 'http'")


CALM = {"packets_per_second": 800, "unique_sources": 40, "bytes_per_packet": 700, "syn_ratio": 0.05}
FLOOD = {"packets_per_second": 90000, "unique_sources": 20000, "bytes_per_packet": 60, "syn_ratio": 0.9}


class Model(ServiceTest):
    def test_scores_traffic(self):
        model = self.start("model")
        self.assertEqual(model.json("/predict", CALM)["verdict"], "normal")
        self.assertEqual(model.json("/predict", FLOOD)["verdict"], "attack")
        self.assertEqual(model.json("/health")["predictions"], 2)
        self.assertEqual(model.json("/health")["attacks"], 1)

    def test_refuses_what_it_cannot_read(self):
        model = self.start("model")
        for body in (b"", b"{", b"[]", {"syn_ratio": "high"}, {"syn_ratio": 2}, {"unique_sources": True}, b'{"syn_ratio": NaN}'):
            status, _, answer = model.ask("/predict", body)
            self.assertEqual(status, 400, body)
            self.assertIn("must be", json.loads(answer)["error"])


class NetworkAnalyzer(ServiceTest):
    def test_asks_the_model(self):
        model = self.start("model")
        analyzer = self.start("network-analyzer", MODEL_URL=model.url)
        self.assertEqual(analyzer.json("/analyze", FLOOD)["answer"]["verdict"], "attack")
        self.assertEqual(analyzer.ask("/analyze", {"syn_ratio": 2})[0], 400)
        windows = self.until(lambda: sum(analyzer.json("/health")["windows"].values()) >= 2 and analyzer.json("/"))
        self.assertEqual(windows["windows"]["unanswered"], 0)
        self.assertIn(FLOOD, [window["traffic"] for window in windows["recent"]])

    def test_lives_on_without_the_model(self):
        analyzer = self.start("network-analyzer")
        self.assertEqual(analyzer.json("/analyze", CALM)["answer"]["verdict"], "unanswered")


class IncidentBot(ServiceTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name) / "incidents.jsonl"

    def bot(self, **environment):
        return self.start("incident-bot", INCIDENTS_FILE=str(self.file), **environment)

    def test_keeps_incidents_over_a_crash(self):
        model = self.start("model")
        bot = self.bot(MODEL_URL=model.url, HEALING_BOT_FAULTS="1")
        self.assertEqual(bot.json("/incidents", {"summary": "flood", "traffic": FLOOD})["severity"], "critical")
        self.assertEqual(bot.json("/incidents", {"summary": "disk is filling"})["severity"], "info")
        bot.ask("/fault/crash", b"")
        bot.exit_code()

        with self.file.open("a") as file:
            file.write('{"id": 3, "summ')  # as a crash in the middle of a write leaves it
        bot = self.bot()
        self.assertEqual(bot.json("/incidents", {"summary": "again", "traffic": FLOOD})["severity"], "unknown")
        kept = self.bot().json("/incidents")
        self.assertEqual([(i["id"], i["summary"]) for i in kept["incidents"]], [(3, "again"), (2, "disk is filling"), (1, "flood")])
        self.assertEqual(kept["total"], 3)

    def test_refuses_an_incident_without_summary(self):
        bot = self.bot()
        for body in ({}, {"summary": " "}, {"summary": 7}, {"summary": "x", "traffic": "much"}):
            self.assertEqual(bot.ask("/incidents", body)[0], 400, body)
        self.assertEqual(bot.json("/incidents")["incidents"], [])


class Dashboards(ServiceTest):
    def test_figures_come_from_the_services(self):
        model = self.start("model")
        model.ask("/predict", FLOOD)
        monitoring = self.start("monitoring-server", MODEL_URL=model.url)
        metrics = self.until(lambda: monitoring.json("/api/metrics")["services"] and monitoring.json("/api/metrics"))
        self.assertEqual(metrics["services"]["DDoS Model API"]["says"]["attacks"], 1)
        self.assertFalse(metrics["services"]["Incident Bot"]["healthy"])

        dashboard = self.start("dashboard", MONITORING_SERVER_URL=monitoring.url)
        figures = dashboard.json("/api/figures")["services"]
        self.assertEqual(list(figures), ["DDoS Model API", "Network Analyzer"])
        self.assertEqual(figures["DDoS Model API"]["says"]["attacks"], 1)

        healing = self.start("healing-dashboard", MONITORING_SERVER_URL=monitoring.url)
        self.assertIn("memory", healing.json("/api/host"))

    def test_without_monitoring_server_they_say_so(self):
        self.assertIn("cannot ask the monitoring server", self.start("dashboard").json("/api/figures")["error"])
        self.assertIn("no figures from", self.start("healing-dashboard").json("/api/host")["error"])

    def test_status_file_is_shown_as_it_changes(self):
        with tempfile.TemporaryDirectory() as folder:
            healing = self.start("healing-dashboard", HEALBOT_PROJECT_DIR=folder)
            self.assertIn("is healbot up?", healing.json("/api/status")["error"])
            file = Path(folder) / ".service_status.json"
            file.write_text('{"web": {"pid": 7, "status": "crashed", "reason": "<b>exit code 1</b>"}, "api": {"pid": 8}}')
            self.assertEqual(
                healing.json("/api/status")["services"],
                [{"pid": 7, "status": "crashed", "reason": "<b>exit code 1</b>", "name": "web"}, {"pid": 8, "name": "api"}],
            )
            for alien in ("", "{", "[]", '{"web": 1}'):
                file.write_text(alien)
                self.assertIn("cannot read", healing.json("/api/status")["error"], alien)


if __name__ == "__main__":
    unittest.main()
