"""The loop's own loss and attention give what torch's give, values and gradients, in all the shapes that they take apart."""

import pytest
import torch
from slipway_training.pretrain.attention import causal_attention, use_causal_attention
from slipway_training.pretrain.losses import next_token_loss, piecewise_slopes, whole_slopes
from slipway_training.pretrain.norm import PieceNorm, use_piece_norms
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRMSNorm


@pytest.mark.parametrize(("tokens", "smoothing"), [(40, 0.0), (700, 0.0), (700, 0.1)])
def test_the_loss_in_pieces_is_cross_entropy(tokens: int, smoothing: float) -> None:
    torch.manual_seed(1)
    hidden, head = torch.randn(2, tokens, 24, requires_grad=True), torch.randn(301, 24, requires_grad=True)
    labels = torch.randint(0, 301, (2, tokens))
    labels[0, :33] = -100
    ours = next_token_loss(hidden, head, labels, smoothing)
    theirs = cross_entropy((hidden @ head.T).flatten(0, 1), labels.flatten(), label_smoothing=smoothing)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    for mine, yours in zip(torch.autograd.grad(3 * ours, (hidden, head)), torch.autograd.grad(3 * theirs, (hidden, head)), strict=True):
        assert torch.allclose(mine, yours, atol=1e-6)


def test_large_logits_do_not_overflow() -> None:
    hidden, head = torch.full((1, 3, 2), 200.0), torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    assert next_token_loss(hidden, head, torch.zeros(1, 3, dtype=torch.long)).item() == 0.0
    assert next_token_loss(hidden, head, torch.ones(1, 3, dtype=torch.long)).item() == pytest.approx(800.0)


@pytest.mark.parametrize(("heads", "groups", "length"), [(4, 2, 150), (4, 4, 64), (6, 1, 7)])
def test_attention_in_blocks_is_causal_attention(heads: int, groups: int, length: int) -> None:
    torch.manual_seed(2)
    query = torch.randn(2, heads, length, 16, requires_grad=True)
    key, value = (torch.randn(2, groups, length, 16, requires_grad=True) for _ in range(2))
    ours = causal_attention(query, key, value, 0.25)
    theirs = scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True, scale=0.25)
    assert torch.allclose(ours, theirs, atol=1e-5)
    weight = torch.randn_like(ours)
    for mine, yours in zip(*(torch.autograd.grad(o, (query, key, value), weight) for o in (ours, theirs)), strict=True):
        assert torch.allclose(mine, yours, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_a_model_says_the_same_by_either_attention(masked: bool) -> None:
    torch.manual_seed(4)
    shape = LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=2,
        intermediate_size=48,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
    )
    model, ids = LlamaForCausalLM(shape), torch.randint(0, 50, (3, 90))
    mask = torch.ones(90, 90, dtype=torch.bool).tril().expand(3, 1, 90, 90) if masked else None
    model.set_attn_implementation("sdpa")
    with torch.autocast("cpu", torch.bfloat16, enabled=not masked):
        theirs = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        use_causal_attention(model)
        ours = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    assert torch.allclose(ours.float(), theirs.float(), atol=1e-6 if masked else 0.02)
    with torch.inference_mode():  # one more token over a cache is the fallback's work
        cached = model(input_ids=ids[:, :-1], use_cache=True)
        last = model(input_ids=ids[:, -1:], past_key_values=cached.past_key_values).logits[:, -1]
        assert torch.allclose(last, model(input_ids=ids, use_cache=False).logits[:, -1], atol=1e-5)


@pytest.mark.parametrize("bf16", [False, True])
def test_the_norm_in_pieces_is_rms_norm(bf16: bool) -> None:
    torch.manual_seed(5)
    theirs, ours = LlamaRMSNorm(24), PieceNorm(24)
    for norm in (theirs, ours):
        norm.weight.data = torch.linspace(0.5, 2.0, 24)
    hidden = torch.randn(3, 200, 24, requires_grad=True)
    weight = torch.randn(3, 200, 24)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        mine, yours = ours(hidden), theirs(hidden)
    assert mine.dtype == (torch.bfloat16 if bf16 else torch.float32)
    assert torch.allclose(mine.float(), yours, rtol=5e-3 if bf16 else 1e-5)
    for a, b in zip(
        *(torch.autograd.grad(o, (hidden, n.weight), weight.to(o.dtype)) for o, n in ((mine, ours), (yours, theirs))), strict=True
    ):
        assert torch.allclose(a, b, rtol=0.02 if bf16 else 1e-4, atol=0.2 if bf16 else 1e-4)


def test_weights_keep_their_names() -> None:
    shape = LlamaConfig(
        vocab_size=9, hidden_size=16, num_hidden_layers=2, intermediate_size=16, num_attention_heads=2, num_key_value_heads=2
    )
    model = LlamaForCausalLM(shape)
    names = list(model.state_dict())
    use_piece_norms(model)
    assert list(model.state_dict()) == names
    assert sum(isinstance(module, PieceNorm) for module in model.modules()) == 5


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_form_that_a_gpu_compiles_says_what_the_form_of_a_cpu_says(smoothing: float) -> None:
    logits, labels = torch.randn(150, 67, generator=torch.Generator().manual_seed(5)) * 3, torch.arange(150) % 67
    labels[7] = -100
    once, again = logits.clone(), logits.clone()
    assert whole_slopes(once, labels, smoothing).item() == pytest.approx(piecewise_slopes(again, labels, smoothing).item(), rel=1e-6)
    torch.testing.assert_close(once, again)
    assert not once[7].any()
