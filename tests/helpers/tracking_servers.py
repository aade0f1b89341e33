"""A real MLflow server, and a proxy before it that fails as servers and networks do."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

import requests
from processes import free_port, wait_until


class Server:
    """A real `mlflow server` on loopback, to be stopped and started."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.port, self.options = folder, free_port(), options
        self.address = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        options = self.options or ("--artifacts-destination", str(self.folder / "artifacts"))
        store = ["--backend-store-uri", f"sqlite:///{self.folder}/server.db", *options]
        place = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        with (self.folder / "server.log").open("ab") as output:
            command = [sys.executable, "-m", "mlflow", "server", *store, *place]
            self.process = subprocess.Popen(command, stdout=output, stderr=output, text=True, start_new_session=True)
        wait_until(self._answers, self.process)

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.address}/health", timeout=5).ok
        except requests.RequestException:
            return False

    def stop(self) -> None:
        subprocess.run(["pkill", "-KILL", "-s", str(self.process.pid)], check=False)
        self.process.kill()
        self.process.wait()


class Fault(NamedTuple):
    """How a server fails: with a status and a body, by a closed connection (0), or by silence (-1)."""

    status: int
    body: bytes = b"<html><body>not here</body></html>"


FAULTS = {
    "refused": Fault(0),
    "401": Fault(401, b"You are not authenticated."),
    "403": Fault(403, b'{"error_code": "PERMISSION_DENIED", "message": "Permission denied"}'),
    "404 HTML": Fault(404),
    "500": Fault(500),
    "hang": Fault(-1),
}


class Proxy(ThreadingHTTPServer):
    """Forwards requests to ``upstream``; while ``fault`` is set it forwards ``left`` more and then fails at each.

    ``asked`` has all requests since the last change.
    """

    daemon_threads = True

    def __init__(self, upstream: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.upstream = upstream
        self.answers: dict[str, Fault] = {}
        """By a part of the path, of a server that forwards nothing."""
        self.released = Event()
        self.fault: Fault | None = None
        self.left = 0
        self.asked: list[str] = []

    def fail(self, fault: Fault, left: int = 0) -> None:
        self.fault, self.left, self.asked = fault, left, []
        self.released.clear()

    def heal(self) -> None:
        """Forward all from now on."""
        self.fault, self.left, self.asked = None, 0, []
        self.released.set()


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append(f"{self.command} {self.path}")
        fault = self.server.fault if self.server.left <= 0 else None
        own = next((answer for part, answer in self.server.answers.items() if part in self.path), fault)
        if own:
            self._fail(own)
            return
        self.server.left -= 1
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        url = f"{self.server.upstream}{self.path}"
        answer = requests.request(self.command, url, data=body, headers=headers, allow_redirects=False, timeout=60)
        self._send(answer.status_code, answer.headers.get("Content-Type", ""), answer.content)

    def _fail(self, fault: Fault) -> None:
        self.close_connection = True
        if fault.status < 0:
            self.server.released.wait(60)
        elif fault.status:
            kind = "application/json" if fault.body.startswith(b"{") else "text/html"
            self._send(fault.status, kind, fault.body)

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _answer

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@contextmanager
def proxy(upstream: str = "") -> Iterator[Proxy]:
    with Proxy(upstream) as found:
        thread = Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield found
        finally:
            found.released.set()
            found.shutdown()
            thread.join()
