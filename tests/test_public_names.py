"""What `import mmad` offers, and how quickly."""

import subprocess
import sys
from importlib import import_module

import pytest

import mmad


def test_the_list_of_public_names() -> None:
    assert mmad.__all__ == [
        "MMA52",
        "DetectionMAP",
        "Protocol",
        "Reporting",
        "Rows",
        "Settings",
        "Taxonomy",
        "compare",
        "detection_map",
        "diagnose",
        "evaluate",
        "load_detector",
        "measure",
        "pair_up",
        "read_ground_truth",
        "read_predictions",
        "read_taxonomy",
        "write_report",
    ]
    assert set(mmad.__all__) <= set(dir(mmad))


@pytest.mark.parametrize("name", mmad.__all__)
def test_a_name_is_what_its_module_defines(name: str) -> None:
    home = import_module(f"mmad.{mmad._HOMES[name]}")
    assert getattr(mmad, name) is getattr(home, name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'diagnosse'"):
        _ = mmad.diagnosse


def test_importing_the_package_does_not_load_torch() -> None:
    code = "import sys, mmad; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
