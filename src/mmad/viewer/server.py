"""Serves the page on this machine alone: only the files that were given, and only to who has the start address."""

import html
import json
import os
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmad.errors import MmadError
from mmad.viewer.exporting import ENDINGS, export
from mmad.viewer.frames import facts, picture
from mmad.viewer.project import Project
from mmad.viewer.saving import Corrections, Outdated, Unwritten

HOST = "127.0.0.1"

_SCRIPTS = ("app.js", "classes.js", "clock.js", "edits.js", "keys.js", "lanes.js", "player.js", "saver.js")
_STATIC = {
    **dict.fromkeys(("style.css", "draw.js"), resources.files("mmad.page")),
    **dict.fromkeys(("viewer.css", *_SCRIPTS), resources.files("mmad.viewer") / "static"),
}
"""Files that the page loads, and where each lies; the first two are the report page's."""

_TYPES = {".css": "text/css", ".js": "text/javascript"}
_HEADERS = {
    b"content-security-policy": b"default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    b"form-action 'none'; frame-ancestors 'none'",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
    b"cache-control": b"no-store",
}
_LARGEST = 32 * 2**20
"""Bytes of a request's body."""


@dataclass(frozen=True)
class Address:
    """Where the page is, and what lets in.

    Args:
        port: on this machine.
        place: first part of all paths. A browser sends a cookie to every port of a machine, but to this path alone, so
            that servers of other users, which do not know it, never get the token.
        token: without it nothing is served.
    """

    port: int
    place: str
    token: str

    @property
    def root(self) -> str:
        """The path of the page."""
        return f"/{self.place}/"

    @property
    def start(self) -> str:
        """What to open; the page takes the token out of sight."""
        return f"http://{HOST}:{self.port}{self.root}?token={self.token}"


def listen(folder: Path, *, port: int) -> tuple[socket.socket, Address]:
    """Opens a port, and remembers the address in a file that only this user can read.

    Whoever starts again in the folder hence gets the same address, and a page that is still open goes on saving.

    Args:
        folder: of the corrections.
        port: 0 for that of the last time if it is free, or else any.

    Raises:
        MmadError: the port is taken.
    """
    kept = folder / ".viewer"
    before: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        read = json.loads(kept.read_text())
        before = read if isinstance(read, dict) else {}
    place, token = (_secret(before.get(name)) for name in ("place", "token"))
    last = before.get("port")
    opened = None
    for each in (port,) if port else (last, 0):
        if isinstance(each, int):
            with suppress(OSError, OverflowError):
                opened = _bound(each)
                break
    if opened is None:
        raise MmadError(f"port={port} is taken or not allowed; choose another one, or 0 for any")
    address = Address(opened.getsockname()[1], place, token)
    _write_private(kept, json.dumps(asdict(address)))
    return opened, address


@contextmanager
def way_in(folder: Path, address: Address) -> Iterator[str]:
    """The address of a file that leads to the page and that only this user can read, while the block runs.

    What starts a browser gets an address on its command line, which every user of the machine can see.

    Args:
        folder: where the file is for so long.
        address: that of the page, with the token.
    """
    path = folder / "mmad-view-open.html"
    to = html.escape(address.start)
    _write_private(
        path,
        '<!DOCTYPE html><meta charset="utf-8"><title>mmad-view</title><meta name="referrer" content="no-referrer">'
        f'<meta http-equiv="refresh" content="0; url={to}"><p><a href="{to}">To the page of mmad-view</a></p>\n',
    )
    try:
        yield path.resolve().as_uri()
    finally:
        path.unlink(missing_ok=True)


def _secret(before: Any) -> str:
    """What was kept of the last time, or something new."""
    fits = isinstance(before, str) and re.fullmatch(r"[\w-]{32,}", before, re.ASCII)
    return before if fits else secrets.token_urlsafe(32)


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _bound(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere it would let two servers share a port
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((HOST, port))
        made.listen()  # until then, another process could have the port as well
    except BaseException:
        made.close()
        raise
    return made


class Guard:
    """Lets nobody in but the page: checks the host, the origin and the token of every request.

    The host, since a foreign name may be made to point here; the origin, since other pages may send requests here; the
    place and the token, since other users of the machine can reach the port.
    """

    def __init__(self, app: ASGIApp, *, address: Address) -> None:
        self.app, self.token, self.root = app, address.token, address.root
        self.hosts = {f"{name}:{address.port}" for name in (HOST, "localhost")}
        # Two servers may have one place, as one folder had both before.
        self.cookie = f"mmad-view-{address.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves or refuses one request."""
        if scope["type"] != "http":
            return
        request = Request(scope)
        refused = self._refused(request)
        if refused is not None:
            await _with_headers(PlainTextResponse(refused, 403), send)(scope, receive)
            return
        entering = scope["path"] == self.root and "token" in request.query_params

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start" and entering:
                cookie = f"{self.cookie}={self.token}; Path={self.root}; HttpOnly; SameSite=Strict"
                message["headers"].append((b"set-cookie", cookie.encode()))
            await send(message)

        await _with_headers(self.app, sent)(scope, receive)

    def _refused(self, request: Request) -> str | None:
        """Why a request is not served; None if it is."""
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or hosts[0] not in self.hosts:
            return "This page is served on this machine alone."
        origin = request.headers.get("origin")
        if origin is not None and origin != f"http://{hosts[0]}":
            return "Another page may not ask for this."
        if origin is None and request.method not in ("GET", "HEAD"):
            return "Only the page itself may write."
        path = request.scope["path"]
        given = request.query_params.get("token") if path == self.root else None
        given = given or request.cookies.get(self.cookie) or ""
        begun = path[: len(self.root)]
        pairs = ((begun, self.root), (given, self.token))
        if not all(secrets.compare_digest(come.encode(), own.encode()) for come, own in pairs):
            return "Open the address that mmad-view printed; this one lacks its token."
        return None


def _with_headers(app: ASGIApp, send: Send) -> Callable[[Scope, Receive], Awaitable[None]]:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name for name, _ in message["headers"]}
            message["headers"] += [(name, value) for name, value in _HEADERS.items() if name not in own]
        await send(message)

    async def call(scope: Scope, receive: Receive) -> None:
        await app(scope, receive, sent)

    return call


def make_app(project: Project, corrections: Corrections, *, address: Address) -> Starlette:
    """The application: the page, and what it asks for by the numbers of clips.

    Args:
        project: what is shown.
        corrections: where edits go.
        address: whose host, place and token are let in.
    """
    view = _View(project, corrections)
    routes = [
        Route("/", view.page),
        Route("/static/{name}", view.static),
        Route("/project", view.project),
        Route("/clip/{clip:int}", view.clip),
        Route("/version/{clip:int}", view.version),
        Route("/video/{clip:int}", view.video),
        Route("/frame/{clip:int}/{frame:int}.jpg", view.frame),
        Route("/edit/{clip:int}", view.edit, methods=["POST"]),
        Route("/export/{clip:int}", view.export, methods=["POST"]),
        Route("/download/{number:int}", view.download),
    ]
    handlers: dict[Any, Any] = {MmadError: _told}
    inside = Mount(f"/{address.place}", routes=routes)
    return Starlette(routes=[inside], middleware=[Middleware(Guard, address=address)], exception_handlers=handlers)


def _told(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 507 if isinstance(error, Unwritten) else 422)


class _View:
    """Answers the page's requests; those that touch the disk run in threads."""

    def __init__(self, project: Project, corrections: Corrections) -> None:
        self.shown, self.corrections = project, corrections
        self.index = {name: index for index, name in enumerate(project.taxonomy.actions)}
        self.exported: list[Path] = []

    def page(self, request: Request) -> Response:
        page = resources.files("mmad.viewer") / "static" / "index.html"
        return Response(page.read_bytes(), media_type="text/html")

    def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _STATIC:
            raise HTTPException(404)
        return Response((_STATIC[name] / name).read_bytes(), media_type=_TYPES[Path(name).suffix])

    def project(self, request: Request) -> Response:
        shown, taxonomy = self.shown, self.shown.taxonomy
        scores = [
            mark.score
            for layer in shown.layers
            if layer.kind == "prediction"
            for marks in layer.marks.values()
            for mark in marks
            if mark.score is not None
        ]
        return JSONResponse(
            {
                "title": shown.title,
                "output": str(self.corrections.table.resolve()),
                "actions": taxonomy.actions,
                "codes": taxonomy.codes,
                "bodies": taxonomy.bodies,
                "body_of": taxonomy.body_of,
                "layers": [{"name": layer.name, "kind": layer.kind} for layer in shown.layers],
                "thresholds": [shown.thresholds.get(name) for name in taxonomy.actions] if shown.thresholds else None,
                "scores": [min(scores), max(scores)] if scores else None,
                "clips": [
                    {"id": clip, "edits": len(self.corrections.of(clip).done), "video": clip in shown.videos}
                    for clip in shown.clips
                ],
                "formats": list(ENDINGS),
            }
        )

    def clip(self, request: Request) -> Response:
        clip = self._clip(request)
        layers = [
            [[mark.start, mark.end, self.index[mark.label], mark.score] for mark in layer.marks.get(clip, ())]
            for layer in self.shown.layers
        ]
        edited = self.corrections.told(clip)
        ends = [row[1] for rows in layers for row in rows] + [segment["end"] for segment in edited["segments"]]
        known: dict[str, Any] = {"duration": max([self.shown.durations.get(clip, 0.0), *ends, 1.0])}
        fault = (
            None if clip in self.shown.videos else "This clip comes without a video; its timeline works all the same."
        )
        if fault is None:
            try:
                known = facts(self.shown.videos[clip])
            except MmadError as error:
                fault = str(error)
        return JSONResponse({"id": clip, **known, "fault": fault, "layers": layers, "edited": edited})

    def version(self, request: Request) -> Response:
        return JSONResponse({"version": len(self.corrections.of(self._clip(request)).keys)})

    def video(self, request: Request) -> Response:
        return FileResponse(self._video(request))

    def frame(self, request: Request) -> Response:
        made = picture(self._video(request), request.path_params["frame"])
        return Response(made, media_type="image/jpeg", headers={"cache-control": "private, max-age=600"})

    async def edit(self, request: Request) -> Response:
        clip, told = self._clip(request), await _body(request)
        operations, version = told.get("operations"), told.get("version")
        if not isinstance(operations, list) or not isinstance(version, int):
            raise MmadError("expected operations and the version that they belong to; load the page anew")
        try:
            edited = await run_in_threadpool(self.corrections.follow, clip, operations, version=version)
        except Outdated:
            newest, known = self.corrections.newest(clip, operations)
            told = {"error": "another window has edited this clip since", "edited": newest, "known": known}
            return JSONResponse(told, 409)
        return JSONResponse({"version": len(edited.keys)})

    async def export(self, request: Request) -> Response:
        clip, to = self._clip(request), (await _body(request)).get("to")
        path = await run_in_threadpool(self._export, clip, str(to))
        self.exported.append(path)
        return JSONResponse(
            {"path": str(path.resolve()), "name": path.name, "download": f"download/{len(self.exported) - 1}"}
        )

    def download(self, request: Request) -> Response:
        number = request.path_params["number"]
        if number >= len(self.exported):
            raise HTTPException(404)
        path = self.exported[number]
        return FileResponse(path, filename=path.name, media_type="application/octet-stream")

    def _export(self, clip: str, to: str) -> Path:
        duration = self.shown.durations.get(clip)
        if clip in self.shown.videos:
            with suppress(MmadError):
                duration = facts(self.shown.videos[clip])["duration"]
        return export(self.shown, self.corrections, clip, to=to, duration=duration)

    def _clip(self, request: Request) -> str:
        number = request.path_params["clip"]
        if number >= len(self.shown.clips):
            raise HTTPException(404)
        return self.shown.clips[number]

    def _video(self, request: Request) -> Path:
        clip = self._clip(request)
        if clip not in self.shown.videos or not self.shown.videos[clip].is_file():
            raise HTTPException(404)
        return self.shown.videos[clip]


async def _body(request: Request) -> dict[str, Any]:
    """The object that a request sends.

    Raises:
        MmadError: it is none, or too large.
    """
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > _LARGEST:
            raise MmadError(f"the edit has more than {_LARGEST} bytes; do it in parts")
    try:
        told = json.loads(content)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise MmadError("expected a JSON object; load the page anew")
    return told


class Server(uvicorn.Server):
    """Serves an application until the process is told to stop.

    Args:
        app: as `make_app` gives it.
        ready: called once requests are answered.
    """

    def __init__(self, app: Starlette, *, ready: Callable[[], None]) -> None:
        quiet: dict[str, Any] = {"log_level": "warning", "access_log": False}
        # Whoever stops it shall not wait for a film that still runs.
        super().__init__(uvicorn.Config(app, lifespan="off", ws="none", timeout_graceful_shutdown=1, **quiet))
        self.ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to answer."""
        await super().startup(sockets)
        self.ready()
