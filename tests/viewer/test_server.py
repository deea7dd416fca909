"""Who is let in, and what is served: the page, the given files, and nothing else."""

import json
import os
import stat
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mmad.errors import MmadError
from mmad.formats.boris import read_boris
from mmad.formats.csv_marks import read_csv_marks
from mmad.formats.elan import read_elan
from mmad.formats.json_marks import read_json_marks
from mmad.taxonomy import MMA52
from mmad.viewer.exporting import export
from mmad.viewer.saving import Corrections
from mmad.viewer.server import Address, listen
from viewing import project, served


class Served(NamedTuple):
    address: Address
    corrections: Corrections
    video: Path

    def ask(
        self, path: str, *, method: str = "GET", body: Any = None, without: tuple[str, ...] = (), **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Sends a request as the page would, with some headers changed or left out."""
        host = f"127.0.0.1:{self.address.port}"
        sent = {"host": host, "cookie": f"mmad-view-{self.address.port}={self.address.token}"}
        if method != "GET":
            sent |= {"origin": f"http://{host}", "content-type": "application/json"}
        sent = {name: value for name, value in (sent | headers).items() if name not in without}
        connection = HTTPConnection("127.0.0.1", self.address.port, timeout=20)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
            for name, value in (sent | {"content-length": str(len(content))}).items():
                connection.putheader(name, value)
            connection.endheaders(content)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def edit(self, operations: list[Any], version: int, **more: Any) -> tuple[int, dict[str, Any]]:
        body = {"operations": operations, "version": version}
        status, _, content = self.ask("/edit/0", method="POST", body=body, **more)
        return status, json.loads(content) if status != 403 else {}


@pytest.fixture
def page(tmp_path: Path, numbered_video: Callable[..., Path]) -> Iterator[Served]:
    video = tmp_path / "films" / "one.mp4"
    video.parent.mkdir()
    video.write_bytes(numbered_video(frames=40, fps=10).read_bytes())
    (tmp_path / "films" / "secret.txt").write_text("secret")
    with served(project({"one": video}), tmp_path / "out") as (address, corrections):
        yield Served(address, corrections, video)


PUT = {"key": "k1", "do": "edit", "remove": [], "put": [{"id": "a", "start": 0.5, "end": 1.2, "label": "nodding"}]}
PATHS = ["/", "/project", "/clip/0", "/video/0", "/frame/0/0.jpg", "/static/app.js", "/download/0", "/nothing"]


def test_nothing_is_served_without_the_token(page: Served) -> None:
    token = page.address.token
    for path in PATHS:
        for cookie in ("", "mmad-view=x", f"mmad-view-{page.address.port}=wrong", f"other={token}"):
            assert page.ask(path, cookie=cookie)[0] == 403
        assert page.ask(f"{path}?token=wrong", without=("cookie",))[0] == 403
        if path != "/":
            assert page.ask(f"{path}?token={token}", without=("cookie",))[0] == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{}", "127.0.0.1", "127.0.0.1:1", "[::1]:{}", "127.0.0.1:{}.evil.example"]
)
def test_a_foreign_host_is_refused(page: Served, host: str) -> None:
    assert {page.ask(path, host=host.format(page.address.port))[0] for path in PATHS} == {403}


def test_a_request_without_a_host_is_refused(page: Served) -> None:
    assert page.ask("/project", without=("host",))[0] in (400, 403)


def test_localhost_is_this_machine_too(page: Served) -> None:
    host = f"localhost:{page.address.port}"
    assert page.ask("/project", host=host)[0] == 200
    assert page.edit([PUT], 0, host=host, origin=f"http://{host}")[0] == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        "https://127.0.0.1:{}",
        "http://localhost:{}",
    ],
)
def test_a_foreign_origin_may_neither_write_nor_read(page: Served, origin: str) -> None:
    origin = origin.format(page.address.port)
    assert page.edit([PUT], 0, origin=origin)[0] == 403
    assert page.ask("/export/0", method="POST", body={"to": "csv"}, origin=origin)[0] == 403
    assert page.ask("/project", origin=origin)[0] == 403
    assert not page.corrections.journal.exists()


def test_writing_needs_an_origin_and_the_right_method(page: Served) -> None:
    assert page.edit([PUT], 0, without=("origin",))[0] == 403
    assert page.ask("/edit/0")[0] == 405
    assert page.ask("/project", method="POST", body={})[0] == 405
    assert not page.corrections.journal.exists()


def test_the_start_address_sets_a_cookie_that_no_script_and_no_other_site_can_use(page: Served) -> None:
    status, headers, content = page.ask(f"/?token={page.address.token}", without=("cookie",))
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"/static/app.js" in content
    cookie, *flags = headers["set-cookie"].split("; ")
    assert cookie == f"mmad-view-{page.address.port}={page.address.token}"
    assert {"HttpOnly", "SameSite=Strict"} <= set(flags)
    assert "set-cookie" not in page.ask("/")[1]
    assert page.address.start.startswith("http://127.0.0.1:")


def test_the_policy_lets_only_own_files_in(page: Served) -> None:
    for path in ("/", "/project", "/static/app.js", "/video/0", "/nothing"):
        headers = page.ask(path)[1]
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
    html = page.ask("/")[2].decode()
    assert "http:" not in html
    assert "https:" not in html
    assert "<script>" not in html
    assert "style=" not in html
    assert page.ask("/", cookie="")[1]["content-security-policy"] == policy


OUTSIDE = (
    "/static/../server.py",
    "/static/..%2fserver.py",
    "/static/%2e%2e/server.py",
    "/static//etc/passwd",
    "/static/index.html",
    "/video/../films/secret.txt",
    "/video/..%2f..%2fsecret.txt",
    "/video/one.mp4",
    "/video//etc/passwd",
    "/video/1",
    "/video/7",
    "/video/-1",
    "/frame/0/../../secret.txt",
    "/frame/1/0.jpg",
    "/download/0",
    "/download/..%2fcorrections.csv",
    "/../../../../etc/passwd",
    "/films/secret.txt",
)


def test_no_path_leads_out(page: Served) -> None:
    for path in OUTSIDE:
        status, _, content = page.ask(path)
        assert status == 404, path
        assert b"secret" not in content
        assert b"root:" not in content


def test_a_video_comes_whole_and_in_parts(page: Served) -> None:
    whole = page.video.read_bytes()
    status, headers, content = page.ask("/video/0")
    assert (status, content, headers["accept-ranges"]) == (200, whole, "bytes")
    status, headers, content = page.ask("/video/0", range="bytes=10-19")
    assert (status, content) == (206, whole[10:20])
    assert headers["content-range"] == f"bytes 10-19/{len(whole)}"
    assert page.ask("/video/0", range=f"bytes={len(whole)}-")[0] == 416


def test_a_project_and_a_clip_are_told(page: Served) -> None:
    told = json.loads(page.ask("/project")[2])
    assert [each["id"] for each in told["clips"]] == ["one", "two"]
    assert [layer["name"] for layer in told["layers"]] == ["ground truth", "anna", "predictions"]
    assert told["scores"] == [0.2, 0.9]
    nodding = MMA52.index_of["nodding"]
    assert (told["thresholds"][nodding], told["thresholds"][0]) == (0.5, None)
    clip = json.loads(page.ask("/clip/0")[2])
    assert (clip["frames"], clip["duration"], clip["step"], clip["fault"]) == (40, 4.0, pytest.approx(0.1), None)
    assert clip["layers"][0][0] == [0.5, 1.5, nodding, None]
    other = json.loads(page.ask("/clip/1")[2])
    assert (other["duration"], other["edited"]["version"]) == (2.0, 0)
    assert "without a video" in other["fault"]


def test_edits_are_kept_and_a_late_one_is_told_so(page: Served) -> None:
    assert page.edit([PUT], 0) == (200, {"version": 1})
    assert page.edit([PUT], 0) == (200, {"version": 1})
    assert page.edit([{"key": "k2", "do": "undo"}], 0)[0] == 409
    assert json.loads(page.ask("/version/0")[2]) == {"version": 1}
    status, told = page.edit([{"key": "k3", "do": "edit", "remove": [], "put": [{"id": "a"}]}], 1)
    assert status == 422
    assert "expected 0 <= start < end" in told["error"]
    for body in (b"", b"[]", b"{", {"operations": 1, "version": 0}, {"operations": []}):
        assert page.ask("/edit/0", method="POST", body=body)[0] == 422
    assert page.ask("/edit/9", method="POST", body={"operations": [], "version": 0})[0] == 404
    assert json.loads(page.ask("/clip/0")[2])["edited"]["segments"] == PUT["put"]


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "csv": ("one.csv", read_csv_marks),
    "elan": ("one.eaf", lambda path: read_elan(path, taxonomy=MMA52)),
    "boris": ("one.boris", read_boris),
    "boris_table": ("one.events.csv", read_boris),
    "json": ("one.json", read_json_marks),
}


@pytest.mark.parametrize("to", READERS)
def test_an_export_is_read_back_and_never_written_over(page: Served, to: str) -> None:
    def export() -> tuple[int, Any]:
        status, _, content = page.ask("/export/0", method="POST", body={"to": to})
        return status, json.loads(content)

    status, told = export()
    assert status == 422
    assert "no corrections yet" in told["error"]
    page.edit([PUT], 0)
    name, read = READERS[to]
    first, second = (export()[1] for _ in range(2))
    path, numbered = Path(first["path"]), Path(second["path"])
    assert (path.name, numbered.name) == (name, f"{Path(name).stem}.1{Path(name).suffix}")
    for each in (path, numbered):
        assert [(mark.clip, mark.start, mark.end, mark.label) for mark in read(each).marks] == [
            ("one", 0.5, 1.2, "nodding")
        ]
    status, headers, content = page.ask(second["download"])
    assert (status, content) == (200, numbered.read_bytes())
    assert numbered.name in headers["content-disposition"]
    assert page.ask("/export/0", method="POST", body={"to": "exe"})[0] == 422


def test_a_class_of_the_journal_is_known_and_exported(tmp_path: Path) -> None:
    """A label that no file has any more keeps its name, in the page and in ELAN's tiers, which bear codes."""
    with served(project({}), tmp_path) as (_, corrections):
        rows = [{"id": str(n), "start": 0, "end": 1, "label": label} for n, label in enumerate(("nodding", "yawning"))]
        corrections.follow("one", [{"key": "k", "do": "edit", "remove": [], "put": rows}], version=0)
    again = Corrections(tmp_path)
    shown = project({}).knowing(again.labels)
    assert shown.taxonomy.actions[-1] == "yawning"
    for to, (_, read) in READERS.items():
        path = export(shown, again, "one", to=to, duration=None)
        assert sorted(mark.label for mark in read(path).marks) == ["nodding", "yawning"]
    again.close()


def test_who_starts_again_gets_the_same_address(tmp_path: Path) -> None:
    opened, first = listen(tmp_path, port=0)
    kept = tmp_path / ".viewer"
    assert stat.S_IMODE(os.stat(kept).st_mode) == 0o600
    with opened:
        with pytest.raises(MmadError, match=f"port={first.port} is taken"):
            listen(tmp_path, port=first.port)
        other, second = listen(tmp_path, port=0)
        with other:
            assert (second.port != first.port, second.token) == (True, first.token)
    opened, again = listen(tmp_path, port=0)
    with opened:
        assert again == second
    kept.write_text('{"port": "x", "token": "short"}')
    opened, fresh = listen(tmp_path, port=0)
    with opened:
        assert len(fresh.token) >= 32
