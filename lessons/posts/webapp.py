"""The lesson's page with a form: ``soundtrack-lesson posts page``."""

import re
import socket

import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from lessons.common import lesson
from lessons.posts.answer import Draft, known, score
from pipeline.base.addresses import HOST
from pipeline.base.errors import UserError
from pipeline.reports.pages import environment, table

NOTHING_FROM_OUTSIDE = {
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'self'"
}
PLACE = re.compile("<!-- draft -->.*<!-- end of draft -->", re.DOTALL)


def app() -> FastAPI:
    """
    Raises:
        FileNotFoundError: a stage has not run.
    """
    known()
    report = (lesson.RESULTS / "report.html").read_text(encoding="utf-8")
    template = environment("lessons.posts").get_template("draft.html.j2")
    server = FastAPI(openapi_url=None)
    # a page elsewhere could give its own name this machine's address, and read the answers
    server.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])

    @server.get("/")
    def page(title: str | None = None, domain: str = "", at: str = "") -> HTMLResponse:
        draft = Draft(title or "", domain, at)
        answer, problem = None, ""
        if title is not None:
            try:
                answer = score(draft)
            except UserError as error:
                problem = str(error)
        moved = table(answer.moved, "llr") if answer else None
        form = template.render(draft=draft, answer=answer, problem=problem, moved=moved)
        return HTMLResponse(PLACE.sub(lambda _: form, report), 400 if problem else 200, NOTHING_FROM_OUTSIDE)

    return server


def serve(port: int) -> None:
    """
    Raises:
        UserError: the port is taken, or this user may not use it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(f"port {port} cannot be used ({error.strerror}): name another one with --port") from None
    site = app()
    print(f"http://{HOST}:{port}/#draft (Ctrl+C ends it)")
    uvicorn.run(site, host=HOST, port=port, log_level="warning")
