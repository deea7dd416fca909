"""CSV text becomes rows, whatever its line ends."""

import pytest

from mmad.errors import MmadError
from mmad.formats.table import decode, read_text, table_rows


def rows(text: str) -> list[tuple[int, dict[str, str]]]:
    return list(table_rows(text, columns=["video_id", "score"], source="x.csv"))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_and_empty_first_name(end, last):
    text = end.join([",video_id, score ,note", "0,a,0.5,", '1,"b,c",0.25,x']) + (end if last else "")
    assert rows(text) == [
        (2, {"": "0", "video_id": "a", "score": "0.5", "note": ""}),
        (3, {"": "1", "video_id": "b,c", "score": "0.25", "note": "x"}),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.csv is empty, expected a header with video_id, score; check the path"),
        (
            "video_id,scores\na,1",
            r"has no column 'score', its header is 'video_id, scores'; .* 'scores', or add",
        ),
        ("video_id,score\na,1\nb", "x.csv, line 3: 1 fields, the header has 2; complete or remove the row"),
        ("video_id,score\na,1,2", "x.csv, line 2: 3 fields, the header has 2"),
        (f"video_id,score\na,{'1' * 140_000}", r"x.csv, line 1: not valid CSV \(field larger"),
    ],
)
def test_faults(text, message):
    with pytest.raises(MmadError, match=message):
        rows(text)


def test_files_that_are_no_text(tmp_path):
    with pytest.raises(MmadError, match=r"none\.csv does not exist; check the path"):
        read_text(tmp_path / "none.csv")
    with pytest.raises(MmadError, match="is a folder, expected a file"):
        read_text(tmp_path)
    with pytest.raises(MmadError, match=r"x\.csv is not a text file in UTF-8; save it as UTF-8"):
        decode(b"\xff\xfe\x00", source="x.csv")
    assert decode(b"\xef\xbb\xbfa", source="x.csv") == "a"
