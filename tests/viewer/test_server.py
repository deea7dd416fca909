"""Who is let in, and what is served: the page, the given files, and nothing else."""

import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
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
from mmad.viewer import exporting
from mmad.viewer.exporting import export
from mmad.viewer.project import Project
from mmad.viewer.saving import Corrections
from mmad.viewer.server import Address, listen, way_in
from viewing import project, served


class Served(NamedTuple):
    address: Address
    corrections: Corrections
    video: Path

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        body: Any = None,
        without: tuple[str, ...] = (),
        at: str | None = None,
        **headers: str,
    ) -> tuple[int, dict[str, str], bytes]:
        """Sends a request below the page's path as the page would, with some headers changed or left out."""
        host = f"127.0.0.1:{self.address.port}"
        sent = {"host": host, "cookie": f"mmad-view-{self.address.port}={self.address.token}"}
        if method != "GET":
            sent |= {"origin": f"http://{host}", "content-type": "application/json"}
        sent = {name: value for name, value in (sent | headers).items() if name not in without}
        connection = HTTPConnection("127.0.0.1", self.address.port, timeout=20)
        try:
            connection.putrequest(method, at or self.address.root + path, skip_host=True, skip_accept_encoding=True)
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
        status, _, content = self.ask("edit/0", method="POST", body=body, **more)
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
PATHS = ["", "project", "clip/0", "video/0", "frame/0/0.jpg", "static/app.js", "download/0", "nothing"]


def test_nothing_is_served_without_the_token(page: Served) -> None:
    token = page.address.token
    for path in PATHS:
        for cookie in ("", "mmad-view=x", f"mmad-view-{page.address.port}=wrong", f"other={token}"):
            assert page.ask(path, cookie=cookie)[0] == 403
        assert page.ask(f"{path}?token=wrong", without=("cookie",))[0] == 403
        if path:
            assert page.ask(f"{path}?token={token}", without=("cookie",))[0] == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{}", "127.0.0.1", "127.0.0.1:1", "[::1]:{}", "127.0.0.1:{}.evil.example"]
)
def test_a_foreign_host_is_refused(page: Served, host: str) -> None:
    assert {page.ask(path, host=host.format(page.address.port))[0] for path in PATHS} == {403}


def test_nothing_is_served_beside_the_secret_path(page: Served) -> None:
    place = page.address.place
    for path in (
        "/",
        "/project",
        f"/{place[:-1]}x/project",
        f"/{page.address.token}/project",
        f"/{place}",
        f"//{place}/",
    ):
        assert page.ask("", at=path)[0] == 403


def test_a_request_without_a_host_is_refused(page: Served) -> None:
    assert page.ask("project", without=("host",))[0] in (400, 403)


def test_localhost_is_this_machine_too(page: Served) -> None:
    host = f"localhost:{page.address.port}"
    assert page.ask("project", host=host)[0] == 200
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
    assert page.ask("export/0", method="POST", body={"to": "csv"}, origin=origin)[0] == 403
    assert page.ask("project", origin=origin)[0] == 403
    assert not page.corrections.journal.exists()


def test_writing_needs_an_origin_and_the_right_method(page: Served) -> None:
    assert page.edit([PUT], 0, without=("origin",))[0] == 403
    assert page.ask("edit/0")[0] == 405
    assert page.ask("project", method="POST", body={})[0] == 405
    assert not page.corrections.journal.exists()


def test_the_start_address_sets_a_cookie_that_no_script_and_no_other_site_can_use(page: Served) -> None:
    status, headers, content = page.ask(f"?token={page.address.token}", without=("cookie",))
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b'src="static/app.js"' in content
    cookie, *flags = headers["set-cookie"].split("; ")
    assert cookie == f"mmad-view-{page.address.port}={page.address.token}"
    assert {"HttpOnly", "SameSite=Strict", f"Path={page.address.root}"} <= set(flags)
    assert len(page.address.place) >= 32
    assert "set-cookie" not in page.ask("")[1]
    assert page.address.start.startswith("http://127.0.0.1:")


def test_the_policy_lets_only_own_files_in(page: Served) -> None:
    for path in ("", "project", "static/app.js", "video/0", "nothing"):
        headers = page.ask(path)[1]
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
    html = page.ask("")[2].decode()
    assert "http:" not in html
    assert "https:" not in html
    assert "<script>" not in html
    assert "style=" not in html
    assert page.ask("", cookie="")[1]["content-security-policy"] == policy


OUTSIDE = (
    "static/../server.py",
    "static/..%2fserver.py",
    "static/%2e%2e/server.py",
    "static//etc/passwd",
    "static/index.html",
    "video/../films/secret.txt",
    "video/..%2f..%2fsecret.txt",
    "video/one.mp4",
    "video//etc/passwd",
    "video/1",
    "video/7",
    "video/-1",
    "frame/0/../../secret.txt",
    "frame/1/0.jpg",
    "download/0",
    "download/..%2fcorrections.csv",
    "../../../../etc/passwd",
    "films/secret.txt",
)


def test_no_path_leads_out(page: Served) -> None:
    for path in OUTSIDE:
        status, _, content = page.ask(path)
        assert status in (403, 404), path
        assert b"secret" not in content
        assert b"root:" not in content


def test_a_video_comes_whole_and_in_parts(page: Served) -> None:
    whole = page.video.read_bytes()
    status, headers, content = page.ask("video/0")
    assert (status, content, headers["accept-ranges"]) == (200, whole, "bytes")
    status, headers, content = page.ask("video/0", range="bytes=10-19")
    assert (status, content) == (206, whole[10:20])
    assert headers["content-range"] == f"bytes 10-19/{len(whole)}"
    assert page.ask("video/0", range=f"bytes={len(whole)}-")[0] == 416


def test_a_project_and_a_clip_are_told(page: Served) -> None:
    told = json.loads(page.ask("project")[2])
    assert [each["id"] for each in told["clips"]] == ["one", "two"]
    assert [layer["name"] for layer in told["layers"]] == ["ground truth", "anna", "predictions"]
    assert told["scores"] == [0.2, 0.9]
    nodding = MMA52.index_of["nodding"]
    assert (told["thresholds"][nodding], told["thresholds"][0]) == (0.5, None)
    clip = json.loads(page.ask("clip/0")[2])
    assert (clip["frames"], clip["duration"], clip["step"], clip["fault"]) == (40, 4.0, pytest.approx(0.1), None)
    assert clip["layers"][0][0] == [0.5, 1.5, nodding, None]
    other = json.loads(page.ask("clip/1")[2])
    assert (other["duration"], other["edited"]["version"]) == (2.0, 0)
    assert "without a video" in other["fault"]


def test_edits_are_kept_and_a_late_one_is_told_so(page: Served) -> None:
    assert page.edit([PUT], 0) == (200, {"version": 1})
    assert page.edit([PUT], 0) == (200, {"version": 1})
    status, told = page.edit([PUT, {"key": "k2", "do": "undo"}], 1)
    assert (status, told["known"], told["edited"]["segments"]) == (409, ["k1"], PUT["put"])
    assert json.loads(page.ask("version/0")[2]) == {"version": 1}
    status, told = page.edit([{"key": "k3", "do": "edit", "remove": [], "put": [{"id": "a"}]}], 1)
    assert status == 422
    assert "expected 0 <= start < end" in told["error"]
    huge = {"operations": [{**PUT, "key": "k4", "put": [{**PUT["put"][0], "end": 10**400}]}], "version": 1}
    lone = {"operations": [{**PUT, "key": "\ud800"}], "version": 1}
    for body in (huge, lone, b"", b"[]", b"{", {"operations": 1, "version": 0}, {"operations": []}):
        assert page.ask("edit/0", method="POST", body=body)[0] == 422
    assert page.ask("edit/9", method="POST", body={"operations": [], "version": 0})[0] == 404
    assert json.loads(page.ask("clip/0")[2])["edited"]["segments"] == PUT["put"]


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
        status, _, content = page.ask("export/0", method="POST", body={"to": to})
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
    assert page.ask("export/0", method="POST", body={"to": "exe"})[0] == 422


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


@pytest.mark.parametrize("to", READERS)
def test_an_export_of_a_clip_whose_id_is_a_path_bears_the_name_of_its_video(
    tmp_path: Path, numbered_video: Callable[..., Path], to: str
) -> None:
    video = tmp_path / "films" / "b" / "one.mp4"
    video.parent.mkdir(parents=True)
    video.write_bytes(numbered_video(frames=40, fps=10).read_bytes())
    shown = Project("paths", MMA52, ["b/one", "c/two"], {"b/one": video}, [])
    corrections = Corrections(tmp_path)
    for clip in shown.clips:
        corrections.follow(clip, [PUT], version=0)
    name, read = READERS[to]
    for clip, file, called in (("b/one", f"b_{name}", "one"), ("c/two", f"c_{name.replace('one', 'two')}", "c_two")):
        path = export(shown, corrections, clip, to=to, duration=4.0)
        assert path == tmp_path / file
        assert [(mark.clip, mark.start, mark.end) for mark in read(path).marks] == [(called, 0.5, 1.2)]
    corrections.close()


def test_two_exports_at_once_take_two_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = exporting.write_csv_marks

    def slow(path: Path, known: Any) -> None:
        time.sleep(0.2)  # for the other one to choose a name
        write(path, known)

    monkeypatch.setattr(exporting, "write_csv_marks", slow)
    shown, corrections = project({}), Corrections(tmp_path)
    corrections.follow("one", [PUT], version=0)
    with ThreadPoolExecutor(2) as pool:
        made = [pool.submit(export, shown, corrections, "one", to="csv", duration=None) for _ in range(2)]
        assert sorted(each.result().name for each in made) == ["one.1.csv", "one.csv"]
    corrections.close()


def test_only_this_user_can_read_the_way_in(tmp_path: Path) -> None:
    address = Address(1234, "p" * 32, "t" * 32)
    with way_in(tmp_path, address) as opened:
        (path,) = tmp_path.iterdir()
        assert (opened, stat.S_IMODE(path.stat().st_mode)) == (path.as_uri(), 0o600)
        assert f'content="0; url={address.start}"' in path.read_text()
        assert address.token not in opened
    assert not list(tmp_path.iterdir())


def test_who_starts_again_gets_the_same_address(tmp_path: Path) -> None:
    opened, first = listen(tmp_path, port=0)
    kept = tmp_path / ".viewer"
    assert stat.S_IMODE(os.stat(kept).st_mode) == 0o600
    with opened:
        with pytest.raises(MmadError, match=f"port={first.port} is taken"):
            listen(tmp_path, port=first.port)
        other, second = listen(tmp_path, port=0)
        with other:
            assert (second.port != first.port, second.place, second.token) == (True, first.place, first.token)
    opened, again = listen(tmp_path, port=0)
    with opened:
        assert again == second
    kept.write_text('{"port": "x", "place": "../../../../../../../../etc/passwd", "token": "short"}')
    opened, fresh = listen(tmp_path, port=0)
    with opened:
        assert min(len(fresh.token), len(fresh.place)) >= 32
        assert "." not in fresh.place
