"""Cost counters against counts written out by hand."""

import pytest
import torch
from torch import nn

from echobook.metrics.cost import count_macs, count_parameters, real_time_factor


def test_linear_and_convolutions_by_hand():
    assert count_macs(nn.Linear(3, 5), torch.zeros(2, 7, 3)) == {"": 2 * 7 * 3 * 5}
    # 8 output frames of 6 channels, each 3 taps over 4 channels
    assert count_macs(nn.Conv1d(4, 6, 3), torch.zeros(1, 4, 10)) == {"": 8 * 6 * 3 * 4}
    # depth-wise: one input channel per output channel; dilation changes the length alone
    assert count_macs(nn.Conv1d(4, 4, 3, groups=4, dilation=2), torch.zeros(1, 4, 10)) == {"": 6 * 4 * 3}
    assert count_macs(nn.Conv2d(2, 3, (5, 3), stride=2), torch.zeros(1, 2, 9, 9)) == {"": 3 * 4 * 3 * 15 * 2}


def test_recurrent_by_hand():
    two = nn.LSTM(3, 5, num_layers=2, batch_first=True)
    assert count_macs(two, torch.zeros(2, 7, 3)) == {"": 14 * (4 * 5 * (3 + 5) + 4 * 5 * (5 + 5))}
    assert count_macs(nn.GRU(3, 5), torch.zeros(7, 1, 3)) == {"": 7 * 3 * 5 * (3 + 5)}
    projected = nn.LSTM(3, 5, proj_size=2, device="meta")
    assert count_macs(projected, torch.zeros(1, 1, 3, device="meta")) == {"": 4 * 5 * (3 + 2) + 5 * 2}


def test_one_convolution_of_the_paper():
    # 5x5, 100 to 100 channels over 192 frequencies: 48 M per frame
    layer = nn.Conv2d(100, 100, 5, padding=(0, 2), device="meta")
    assert count_macs(layer, torch.zeros(1, 100, 5, 192, device="meta")) == {"": 25 * 100 * 100 * 192}


def test_names_repeats_and_free_modules():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.map, self.norm, self.table = nn.Linear(4, 4), nn.LayerNorm(4), nn.Embedding(3, 4)

        def forward(self, index):
            return self.map(self.map(self.norm(self.table(index))))

    net = nn.Sequential(Twice(), nn.ReLU(), nn.Linear(4, 2))
    assert count_macs(net, torch.tensor([0, 1])) == {"0.map": 2 * 2 * 16, "2": 2 * 8}
    assert not net[0].map._forward_hooks


def test_parameters_by_hand():
    first, second = nn.Linear(3, 5), nn.Linear(3, 5, bias=False)
    assert count_parameters(nn.Sequential(first, second)) == 3 * 5 + 5 + 3 * 5
    second.weight = first.weight
    assert count_parameters(nn.Sequential(first, second)) == 3 * 5 + 5
    first.bias.requires_grad_(False)
    assert count_parameters(first, trainable_only=True) == 15


def test_own_rules():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.key = nn.Linear(4, 4)

        def forward(self, x):
            return (x @ self.key(x).transpose(1, 2)) @ x

    def scores(part, inputs, output):
        _, frames, size = inputs[0].shape
        return 2 * frames * frames * size

    found = count_macs(Attention(), torch.zeros(1, 6, 4), rules={Attention: scores})
    assert found == {"": 2 * 36 * 4, "key": 6 * 16}


def test_a_subclass_uses_its_parents_rule():
    class Named(nn.Linear):
        pass

    assert count_macs(Named(3, 2), torch.zeros(1, 3)) == {"": 6}


def test_unknown_parameters_are_refused():
    with pytest.raises(ValueError, match=r"no counting rule for 1 of type Bilinear; pass one in rules"):
        count_macs(nn.ModuleList([nn.Linear(1, 1), nn.Bilinear(2, 2, 2)]), torch.zeros(1))


def test_hooks_are_removed_after_a_failure():
    layer = nn.Linear(3, 5)
    with pytest.raises(RuntimeError):
        count_macs(layer, torch.zeros(2, 4))
    assert not layer._forward_hooks


def test_real_time_factor():
    assert real_time_factor(2.0, 8.0) == 0.25
    with pytest.raises(ValueError, match=r"audio_seconds > 0; got 1\.0, 0\.0"):
        real_time_factor(1.0, 0.0)


def test_two_directions_and_no_bias():
    both = nn.LSTM(3, 5, bidirectional=True, batch_first=True)
    assert count_macs(both, torch.zeros(1, 7, 3)) == {"": 7 * 2 * 4 * 5 * (3 + 5)}
    assert count_macs(nn.Linear(3, 5, bias=False), torch.zeros(1, 3)) == {"": 15}


def test_counts_grow_with_time_and_batch_and_need_no_memory():
    net = nn.Sequential(nn.Conv1d(8, 8, 5, padding=2), nn.Conv1d(8, 4, 1)).to("meta")
    one = sum(count_macs(net, torch.zeros(1, 8, 100, device="meta")).values())
    assert one == 100 * (8 * 8 * 5 + 8 * 4)
    assert sum(count_macs(net, torch.zeros(3, 8, 100, device="meta")).values()) == 3 * one
    assert sum(count_macs(net, torch.zeros(1, 8, 10**7, device="meta")).values()) == 10**5 * one


def test_counting_changes_neither_mode_nor_gradients_nor_output():
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).eval()
    batch = torch.randn(5, 4, requires_grad=True)
    before = net(batch)
    count_macs(net, batch)
    assert not net.training
    assert batch.grad is None
    assert torch.equal(net(batch), before)


@pytest.mark.parametrize("arguments", [(-1.0, 2.0), (1.0, -2.0)])
def test_real_time_factor_refuses_negative_times(arguments):
    with pytest.raises(ValueError, match="expected cpu_seconds >= 0 and audio_seconds > 0"):
        real_time_factor(*arguments)
