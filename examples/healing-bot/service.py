"""What the six services have in common: an HTTP server that logs, answers for
its health, stops cleanly on SIGTERM and, if asked to, breaks in three ways.

    service = Service("Echo", port=port("ECHO_PORT", 7000))

    @service.route("POST", "/echo")
    def echo(request):
        return request.json()       # dict or list: JSON; str: HTML

    service.run()

It listens on HEALING_BOT_HOST, 127.0.0.1 by default. Errors that the caller made
are raised as BadRequest and answered with 400.

With HEALING_BOT_FAULTS=1 the service accepts POST /fault/crash, which ends it with
exit code 1; /fault/hang, after which it accepts connections but answers none; and
/fault/unhealthy, after which its health address answers 503.
"""

import errno
import http.client
import json
import os
import signal
import socketserver
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MAX_BODY = 1 << 20
STOP = (signal.SIGTERM, signal.SIGINT)


class BadRequest(Exception):
    """The request can't be understood; the message says why."""


class Fault(Exception):
    """The end of a service that was asked to crash."""


def port(variable, default):
    """The port number in an environment variable."""
    value = os.environ.get(variable) or str(default)
    if not value.isascii() or not value.isdigit() or int(value) > 65535:
        sys.exit("%s must be a port number, not %r" % (variable, value))
    return int(value)


def log(message):
    """Writes one line to stdout, at once and whole, from any thread."""
    os.write(1, ("%s %s\n" % (time.strftime("%H:%M:%S"), message)).encode())


def ask(url, body=None, timeout=1.0):
    """The JSON object that a GET, or a POST if there is a body, is answered with.

    Without one it raises OSError or ValueError.
    """
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            value = json.load(answer)
    except http.client.HTTPException as error:  # the answer was cut short, or is not HTTP
        raise ConnectionError("no whole answer: %r" % error)
    if not isinstance(value, dict):
        raise ValueError("the answer is not a JSON object")
    return value


class Service:
    def __init__(self, name, port, health="/health"):
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP)  # for every thread to come; run waits for them
        self.name = name
        self.address = (os.environ.get("HEALING_BOT_HOST") or "127.0.0.1", port)
        self.started = time.monotonic()
        self.healthy = True
        self.hanging = False
        self.fault = None  # the Fault to end with
        self.health_path = health
        self.figures = dict  # gives further keys for /health
        self.routes = {("GET", "/health"): self._health}
        if os.environ.get("HEALING_BOT_FAULTS") == "1":
            for fault in (self._crash, self._hang, self._unhealthy):
                self.routes["POST", "/fault/" + fault.__name__[1:]] = fault

    def route(self, method, path):
        def add(function):
            self.routes[method, path] = function
            return function

        return add

    def run(self):
        """Serves until SIGTERM or Ctrl-C, then returns; exits with code 1 if it can't listen."""
        try:
            server = _Server(self.address, _Handler)
        except OSError as error:
            why = "port is in use" if error.errno == errno.EADDRINUSE else error.strerror
            sys.exit("%s: cannot listen on %s:%d: %s" % ((self.name,) + self.address + (why,)))
        server.service = self
        threading.Thread(target=server.serve_forever, daemon=True).start()
        log("%s: listening on http://%s:%d" % ((self.name,) + server.server_address[:2]))
        signal.sigwait(STOP)
        if self.fault:
            raise self.fault
        log("%s: stopped" % self.name)

    def answer(self, method, path, request):
        """Status and body for a request."""
        if self.hanging:
            threading.Event().wait()
        if not self.healthy and path in ("/health", self.health_path):
            return 503, {"service": self.name, "status": "unhealthy"}
        function = self.routes.get((method, path))
        if function:
            return 200, function(request)
        if any(known == path for _, known in self.routes):
            return 405, {"error": "%s does not take %s" % (path, method)}
        return 404, {"error": "no such address: %s" % path}

    def _health(self, _):
        up = round(time.monotonic() - self.started, 1)
        return dict(self.figures(), service=self.name, status="healthy", uptime_seconds=up)

    def _crash(self, _):
        self.fault = Fault("%s was asked to crash" % self.name)
        return {"fault": "crash"}

    def _hang(self, _):
        self.hanging = True
        return {"fault": "hang"}

    def _unhealthy(self, _):
        self.healthy = False
        return {"fault": "unhealthy"}


class _Server(ThreadingHTTPServer):
    request_queue_size = 64

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)  # HTTPServer's would look the host up in the DNS

    def handle_error(self, request, client_address):
        log("%s: connection lost: %s" % (self.service.name, sys.exc_info()[1]))


class _Handler(BaseHTTPRequestHandler):
    timeout = 10

    def do_GET(self):
        service = self.server.service
        try:
            self.body = self._read()
            status, answer = service.answer(self.command, self.path.split("?")[0], self)
        except BadRequest as error:
            status, answer = 400, {"error": str(error)}
        except Exception as error:  # a failure of one request is no reason to end the service
            log("%r failed: %s: %s" % (self.requestline, type(error).__name__, error))
            status, answer = 500, {"error": "internal error, see the log"}
        try:
            self._write(status, answer)
        finally:
            if service.fault:
                os.kill(os.getpid(), signal.SIGTERM)

    do_POST = do_GET

    def json(self):
        """The JSON object that was posted."""
        try:
            value = json.loads(self.body)
        except ValueError as error:
            raise BadRequest("the body must be JSON: %s" % error)
        if not isinstance(value, dict):
            raise BadRequest("the body must be a JSON object")
        return value

    def _read(self):
        length = self.headers.get("Content-Length") or "0"
        if not length.isdigit() or int(length) > MAX_BODY:
            raise BadRequest("the body must be at most %d bytes" % MAX_BODY)
        return self.rfile.read(int(length))

    def _write(self, status, answer):
        page = isinstance(answer, str)
        data = answer.encode() if page else json.dumps(answer).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8" if page else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(data)

    def log_request(self, code="-", size="-"):
        if (self.path, code) not in (("/health", 200), (self.server.service.health_path, 200)):
            log("%r %d" % (self.requestline, code))  # a good health check is no news

    def log_message(self, format, *args):
        log(format % args)
