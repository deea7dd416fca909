"""What is told when a detector is built, before any training."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from mmad.cli.build import _tried
from mmad.cli.entry import conf_dir
from mmad.errors import MmadError


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["experiment=table3_tadtr", "nms=hard"], r"hard_nms has no option sigma, .* take the option out with '~nms"),
        (["experiment=table3_pointtad", "nms=soft"], r"soft_nms has no option tiou_threshold"),
        (["nms.voting_threshold=0"], r"nms\.voting_threshold=0: give a tIoU above 0"),
        (["nms.max_per_class=null"], r"The options of nms do not work .*: give each the number that it needs"),
        (["nms=hard", "nms.min_score=low"], r"The options of nms do not work"),
    ],
)
def test_options_of_nms_that_cannot_work(overrides: list[str], message: str) -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("train", overrides=overrides)
    with pytest.raises(MmadError, match=message):
        _tried(instantiate(cfg.nms))
