import torch
from torch import nn

from sotglp_core.clip.dense import vv_attention


def test_equals_the_formula_head_by_head():
    B, L, heads, d = 2, 7, 3, 5
    V = heads * d
    torch.manual_seed(0)
    x, values, out = torch.randn(B, L, V), nn.Linear(V, V), nn.Linear(V, V)
    mixed = torch.empty(B, L, V)
    for b in range(B):
        for h in range(heads):
            v = values(x[b])[:, h * d : (h + 1) * d]
            mixed[b, :, h * d : (h + 1) * d] = torch.softmax(v @ v.T / d**0.5, -1) @ v
    ours = vv_attention(x, values.weight, values.bias, out.weight, out.bias, heads=heads)
    torch.testing.assert_close(ours, out(mixed), atol=1e-5, rtol=1e-5)
