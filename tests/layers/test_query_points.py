"""What PointTAD's points read of the features."""

import torch

from mmad.layers.query_points import PointDeformation


def test_places_near_the_end_of_a_window_stay_where_they_are_in_half_precision() -> None:
    """In bfloat16 a step among 128 has places at 0, a half and 1 only."""
    torch.manual_seed(0)
    layer = PointDeformation(8, window=128)
    for linear in layer.children():
        torch.nn.init.zeros_(linear.weight)
    steps, mask = torch.eye(128)[None], torch.ones(1, 128, dtype=torch.bool)  # whose readings are the weights of steps
    points, query = 0.9 + 0.05 * torch.rand(1, 3, 6), torch.randn(1, 3, 8)
    exact = layer(steps, mask, points, query)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(layer(steps, mask, points, query), exact)
