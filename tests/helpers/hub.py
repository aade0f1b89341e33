"""A server on this computer that answers as the Hugging Face Hub does."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "c0ffee" * 6 + "abcd"


@contextmanager
def hub(folder: Path, repository: str, revision: str, commit: str = COMMIT) -> Iterator[str]:
    """The address of a Hub with one repository, which holds the files of ``folder`` at one revision."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(folder, repository, revision, commit)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _handler(folder: Path, repository: str, revision: str, commit: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            if path == f"/api/models/{repository}/revision/{revision}":
                self._answer(json.dumps({"id": repository, "sha": commit, "siblings": []}).encode())
            elif path == f"/api/models/{repository}/tree/{commit}":
                self._answer(json.dumps([_entry(file) for file in sorted(folder.iterdir())]).encode())
            elif path.startswith(f"/{repository}/resolve/{commit}/"):
                self._answer((folder / path.rsplit("/", 1)[1]).read_bytes())
            else:
                self.send_error(404)

        do_HEAD = do_GET

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", commit)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Keep the test's output clean."""

    return Handler


def _entry(file: Path) -> dict[str, Any]:
    content = file.read_bytes()
    return {"type": "file", "path": file.name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
