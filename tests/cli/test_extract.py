"""`mmad-extract`: it writes what the backbone makes of each snippet, goes on, and never mixes; heads train on that."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import mmad.lit.extraction
from commands import COMMANDS, Command
from mmad.annotations import Clip
from mmad.backbones.videomae import VideoMAE
from mmad.data.feature_set import FeatureSet, told_of
from mmad.data.features import read_features, read_header
from mmad.data.sources import FeatureSource, MMA52Source
from mmad.data.transforms import CoverCrop, read_side
from mmad.data.video import read_frames

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning")

SPLITS = ("train", "val", "test")
LIGHT = ["report.draws=20", "report.figures=[]"]


def of(root: Path, *more: str) -> list[str]:
    return [f"data.root={root}", "data.make=null", "batch_size=16", *more]


@pytest.fixture(scope="module")
def few(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three of the drawn clips of each split."""
    root = tmp_path_factory.mktemp("few") / "data"
    (root / "annotations").mkdir(parents=True)
    for split in SPLITS:
        header, *rows = (drawn / "annotations" / f"{split}.csv").read_text().splitlines()
        clips = list(dict.fromkeys(row.split(",")[1] for row in rows))[:3]
        kept = [row for row in rows if row.split(",")[1] in clips]
        (root / "annotations" / f"{split}.csv").write_text("\n".join([header, *kept]))
        (root / split).mkdir()
        for clip in clips:
            (root / split / f"{clip}.mp4").symlink_to(drawn / split / f"{clip}.mp4")
    return root


@pytest.fixture(scope="module")
def extracted(few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their features."""
    folder = tmp_path_factory.mktemp("extracted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["mmad-extract", *of(few)])
        COMMANDS["mmad-extract"]()
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        os.environ.pop(name, None)
    return folder / "features" / "demo-vmae_tiny"


def backbone() -> VideoMAE:
    return VideoMAE(
        embed_dim=96,
        depth=2,
        heads=3,
        resolution=(64, 48),
        frames_per_step=2,
        position="learned",
        pooling="grid",
        weights="builtin:vmae_tiny",
    ).eval()


@torch.no_grad()
def by_hand(model: VideoMAE, clip: Clip, *, starts: list[int]) -> torch.Tensor:
    """Each snippet decoded and seen by itself."""
    rows = []
    for start in starts:
        frames = np.array([min(max(start + n, 0), clip.frames - 1) for n in range(16)])
        video = read_frames(clip.path, frames / clip.fps, fps=clip.fps, short_side=read_side(48))
        rows.append(model(CoverCrop((64, 48))(video).transpose(0, 1)[None])[0].mean(1))
    return torch.stack(rows)


def source(root: Path) -> FeatureSource:
    told = {name: told_of(str(root), name) for name in ("channels", "stride", "offset", "identity")}
    return FeatureSource(root, **told, fps=None, suffix="")


def content(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir() if path.name != ".lock"}


def test_a_feature_is_what_the_backbone_makes_of_its_snippet(extracted: Path, few: Path) -> None:
    model = backbone()
    for clip in MMA52Source(few, fps=None).clips("val")[:2]:
        found = read_features(extracted / f"{clip.id}.safetensors")
        expected = by_hand(model, clip, starts=[4 * i + 2 - 8 for i in range(-(-clip.frames // 4))])
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        header = read_header(extracted / f"{clip.id}.safetensors")
        assert (header.clip, header.fps, header.frames) == (clip.id, clip.fps, clip.frames)
        assert (header.stride, header.offset, header.backbone) == (4, 2, "vmae_tiny")
        assert header.settings["resolution"] == [64, 48]


def test_the_folder_holds_the_clips_of_all_splits(extracted: Path, few: Path) -> None:
    """The same clips with the same instances, but for the path of the file."""
    videos, features = MMA52Source(few, fps=None), source(extracted)
    for split in SPLITS:
        for clip, own in zip(videos.clips(split), features.clips(split), strict=True):
            assert own.path == extracted / f"{clip.id}.safetensors"
            assert (own.id, own.subject, own.fps, own.frames) == (clip.id, clip.subject, clip.fps, clip.frames)
            assert own.instances == clip.instances
    assert features.taxonomy == videos.taxonomy


def test_an_extraction_that_is_broken_off_goes_on_and_ends_in_the_same_bytes(
    command: Command, extracted: Path, few: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written: list[Path] = []
    write = mmad.lit.extraction.write_features

    def broken(path: Path, *rest: object) -> None:
        if len(written) == 4:
            raise KeyboardInterrupt
        written.append(path)
        write(path, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(mmad.lit.extraction, "write_features", broken)
        assert command("mmad-extract", *of(few, "output=out")) != 0
    assert {path.name for path in Path("out").glob("*")} == {path.name for path in written} | {".lock"}
    assert command("mmad-train", "data=features", "data.root=out") == 2
    assert "out has no features.json, which mmad-extract writes at its end: start it again" in capsys.readouterr().err
    changed = {path: path.stat().st_mtime_ns for path in written}
    assert command("mmad-extract", *of(few, "output=out")) == 0
    assert content(Path("out")) == content(extracted)
    assert {path: path.stat().st_mtime_ns for path in written} == changed
    assert "Next: mmad-train data=features data.root=out recipe=demo_features" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["snippet.align=official"], "(snippet.align is centred, not official)"),
        (["data.resolution=[32,32]"], "(resolution is [64, 48], not [32, 32])"),
        (["backbone.weights=null"], "(backbone.fingerprint is "),
        (["trainer.precision=bf16-mixed"], "(precision is 32-true, not bf16-mixed)"),
    ],
)
def test_features_of_two_kinds_are_never_mixed(
    command: Command,
    extracted: Path,
    few: Path,
    capsys: pytest.CaptureFixture[str],
    changes: list[str],
    told: str,
) -> None:
    before = content(extracted)
    assert command("mmad-extract", *of(few, f"output={extracted}", *changes)) == 2
    said = capsys.readouterr().err
    assert told in said
    assert "choose another output=..." in said
    assert content(extracted) == before


def test_a_bad_video_is_named_after_the_others_are_done(
    command: Command, extracted: Path, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "damaged"
    (root / "val").mkdir(parents=True)
    for name in ("annotations", "train", "test"):
        (root / name).symlink_to(few / name)
    first, *rest = sorted((few / "val").glob("*.mp4"))
    # The header and the first frame stay whole, so that no check before finds it.
    video = first.read_bytes()
    start, stop = len(video) // 3, len(video) // 2
    (root / "val" / first.name).write_bytes(video[:start] + b"0" * (stop - start) + video[stop:])
    for path in rest:
        (root / "val" / path.name).symlink_to(path)
    assert command("mmad-extract", *of(root, "output=out")) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert first.name in said
    assert "(1 of 9 clips have no features, all others have" in said
    done = content(Path("out"))
    assert set(done) == {path.name for path in extracted.glob("*.safetensors")} - {f"{first.stem}.safetensors"}
    (root / "val" / first.name).write_bytes(video)
    assert command("mmad-extract", *of(root, "output=out")) == 0
    # A video that has changed since is another video.
    path = root / "val" / first.name
    path.write_bytes(path.read_bytes() + b"\0" * 8)
    assert command("mmad-extract", *of(root, "output=out")) == 2
    assert "(video is " in capsys.readouterr().err


def test_a_folder_of_any_videos_and_official_snippets(command: Command, few: Path, tmp_path: Path) -> None:
    """Ids that are paths, no classes, several names alike."""
    videos = sorted((few / "test").glob("*.mp4"))[:3]
    for name, path in zip(("P1/a", "P2/a", "b"), videos, strict=True):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, tmp_path / "in" / f"{name}.mp4")
    given = ["data=videos", "data.root=in", "data.workers=0", "data.resolution=[64,48]", "backbone=vmae_tiny"]
    given += ["trainer.precision=32-true", "snippet.align=official", "backbone.weights=builtin:vmae_tiny", "output=out"]
    assert command("mmad-extract", *given) == 0
    made = FeatureSet.read(Path("out"))
    assert made is not None
    assert sorted(made.clips) == ["P1/a.mp4", "P2/a.mp4", "b"]
    assert made.offset == 8
    assert not Path("out/labels.csv").exists()
    header = read_header(Path("out/P1/a.mp4.safetensors"))
    clip = Clip("", videos[0], None, header.fps, header.frames)
    expected = by_hand(backbone(), clip, starts=list(range(0, clip.frames - 15, 4)))
    torch.testing.assert_close(read_features(Path("out/P1/a.mp4.safetensors")), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["adapter=dsta"], "leave adapter out"),
        (["backbone=features"], "name the backbone that sees the videos"),
        (["batch_size=0"], "batch_size=0: give a number of snippets"),
        (["snippet.align=middle"], "snippet.align=middle: choose centred or official"),
        (["output=taken"], "output=taken is a file"),
        (["data=features", "data.root=x"], "mmad-extract does not take data=features"),
    ],
)
def test_faults_are_one_sentence(
    command: Command, few: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    Path("taken").touch()
    given = arguments if "data=features" in arguments else of(few, *arguments)
    assert command("mmad-extract", *given) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]


def test_the_data_set_itself_is_no_output(command: Command, few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("mmad-extract", *of(few, f"output={few}")) == 2
    assert "is the data set itself" in capsys.readouterr().err


def test_a_head_trains_on_features_and_is_evaluated(
    command: Command, extracted: Path, few: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["data=features", f"data.root={extracted}", "recipe=demo_features", "head.channels=32", *LIGHT]
    given += ["trainer.max_epochs=1", "trainer.check_val_every_n_epoch=1", "log_pictures=true", "hydra.run.dir=run"]
    assert command("mmad-train", *given) == 0
    said = capsys.readouterr()
    assert "backbone is random" not in said.err
    assert "Next: open run/report.html" in said.out
    assert not Path("run/timeline.png").exists()
    assert ".safetensors" not in Path("run/report.html").read_text()
    checkpoint = torch.load("run/checkpoints/best.ckpt", weights_only=True)
    config = checkpoint["mmad"]["config"]
    made = FeatureSet.read(extracted)
    assert made is not None
    assert config["data"]["source"]["identity"] == made.identity
    assert (config["backbone"]["embed_dim"], config["head"]["in_channels"]) == (96, 96)
    assert (config["data"]["grid"]["feature_stride"], config["data"]["grid"]["offset"]) == (4, 2)
    assert command("mmad-eval", "checkpoint=run/checkpoints/best.ckpt", "output=again", *LIGHT) == 0
    assert json.loads(Path("again/metrics.json").read_text()) == json.loads(Path("run/metrics.json").read_text())
    # Of the same width, but seen by another backbone.
    assert command("mmad-extract", *of(few, "backbone.weights=null", "output=other")) == 0
    assert command("mmad-eval", "checkpoint=run/checkpoints/best.ckpt", "root=other", "output=again") == 2
    assert "another backbone, other weights or other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["adapter=tia"], "Adapters need a backbone"),
        (["backbone=vmae_tiny"], "data=features has been seen by a backbone before: add backbone=features"),
        (["grid=demo"], "use grid=features"),
        (["data.source.stride=8"], "data.source.stride is 8, not 4"),
        (["data.root=nowhere"], "nowhere is not a folder"),
    ],
)
def test_settings_that_do_not_go_with_features(
    command: Command, extracted: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    root = [] if any(each.startswith("data.root") for each in arguments) else [f"data.root={extracted}"]
    assert command("mmad-train", "data=features", *root, "recipe=demo_features", *arguments) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.slow
def test_two_processes_write_what_one_does(extracted: Path, few: Path, tmp_path: Path) -> None:
    """Each takes its share of the clips; broken off and started again, nobody's share is lost."""
    start = "import sys; from mmad.cli.extract import main; sys.argv[0] = 'mmad-extract'; main()"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MMAD", "PL_"))}

    def run() -> None:
        done = subprocess.run(
            [sys.executable, "-c", start, *of(few, "trainer=ddp_cpu", "output=two")],
            cwd=tmp_path,
            env=environment | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("Features of 9 clips") == 1

    run()
    assert content(tmp_path / "two") == content(extracted)
    files = sorted((tmp_path / "two").glob("*.safetensors"))
    for left in (files[::2], files[:1]):  # of the latter, one process has nothing left to do
        for path in left:
            path.unlink()
        run()
        assert content(tmp_path / "two") == content(extracted)
