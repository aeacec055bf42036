from __future__ import annotations

import pytest
import torch

from sdn_lib import text
from sdn_lib.errors import SDNError
from sdn_lib.text import CharCNNRNN, joint_embedding_loss, to_indices


def test_alphabet_is_the_original_s():
    assert len(text.ALPHABET) == 70
    assert text.ALPHABET.index("-") == 36 and text.ALPHABET.rindex("-") == 59
    assert to_indices(["-"])[0, 0].item() == 59, "the later place of '-' wins"


@pytest.mark.parametrize(("variant", "steps", "width"), [("cvpr", 8, 256), ("icml", 18, 512)])
def test_published_variants(variant, steps, width):
    model = CharCNNRNN(variant)
    characters = to_indices(["a small red bird", "a gull"])
    convolved = model.convolutions(model.one_hot[characters].transpose(1, 2))
    assert convolved.shape == (2, width, steps)
    assert model.encode(["a small red bird", "a gull"]).shape == (2, 1024)
    assert all(p.abs().max() <= 0.08 for p in model.parameters())


def test_unknown_characters_are_all_zeros_and_case_does_not_matter():
    model = CharCNNRNN()
    assert model.one_hot[to_indices(["é"])][0, 0].sum() == 0
    torch.testing.assert_close(model.encode(["A Red Bird"]), model.encode(["a red bird"]))


@pytest.mark.filterwarnings("ignore::sdn_lib.captions.CaptionWarning")
def test_only_201_characters_are_read():
    start = "a bird " * 28 + "abcde"
    assert len(start) == 201
    model = CharCNNRNN()
    torch.testing.assert_close(model.encode([start + "xyz"]), model.encode([start + "more"]))
    changed = start[:-1] + "z"
    assert not torch.equal(to_indices([changed]), to_indices([start]))


def test_encoding_does_not_depend_on_the_batch():
    torch.manual_seed(0)
    model, captions = CharCNNRNN(), [f"a bird with {n} wing bars" for n in range(7)]
    torch.testing.assert_close(model.encode(captions, batch=2), model.encode(captions))
    assert model.encode([]).shape == (0, 1024)


def test_what_a_user_makes_tensors_of_changes_no_embedding():
    torch.manual_seed(0)
    network, lines = CharCNNRNN("icml"), [f"a red bird {k}" for k in range(20)]
    wanted = network.encode(lines)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        found = network.encode(lines)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert found.dtype == torch.float32 and torch.equal(found, wanted)


@pytest.mark.parametrize("caption", ["", "   ", "\n", None])
def test_an_empty_caption_is_an_error_that_names_its_place(caption):
    with pytest.raises(SDNError, match="caption 1 is empty"):
        CharCNNRNN().encode(["a bird", caption])
    model = CharCNNRNN().train()
    with pytest.raises(SDNError, match="caption 3 is empty"):
        model.encode(["a bird", "an owl", "a gull", caption], batch=2)
    assert model.training, "as it was"


def test_a_string_is_no_list_of_captions():
    with pytest.raises(SDNError, match=r"'a red bird' is one caption, not a list: put it in \[ \]"):
        CharCNNRNN().encode("a red bird")


def test_joint_embedding_loss_by_hand():
    images = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    texts = torch.tensor([[1.0, 1.0], [0.5, 1.0]])
    # scores: [[1, 0.5], [2, 2]]
    by_image = max(0, 1 + 0.5 - 1) + max(0, 1 + 2 - 2)
    by_text = max(0, 1 + 2 - 1) + max(0, 1 + 0.5 - 2)
    loss = joint_embedding_loss(images, texts)
    assert loss.item() == pytest.approx((by_image + by_text) / 4)


def test_joint_embedding_loss_keeps_its_precision_under_autocast():
    draw = torch.Generator().manual_seed(0)
    images, texts = (torch.randn(16, 400, generator=draw) for _ in range(2))
    expected = joint_embedding_loss(images, texts)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(joint_embedding_loss(images, texts), expected)


def test_joint_embedding_loss_is_zero_for_separated_pairs_and_symmetric():
    torch.manual_seed(0)
    assert joint_embedding_loss(2 * torch.eye(5), torch.eye(5)).item() == 0
    a, b = torch.randn(6, 4), torch.randn(6, 4)
    torch.testing.assert_close(joint_embedding_loss(a, b), joint_embedding_loss(b, a))
    with pytest.raises(SDNError, match=r"\(6, 4\).*\(5, 4\)"):
        joint_embedding_loss(a, b[:5])


def test_calibrate_centres_and_evens_out_what_varies():
    torch.manual_seed(0)
    model = CharCNNRNN(text_dim=16)
    colours, tails = ("red", "blue", "grey", "orange"), ("long", "short", "forked")
    captions = [f"a {c} bird with a {d} tail" for c in colours for d in tails]
    more = captions + [
        f"a {size} {c} bird with a {d} tail"
        for size in ("small", "large")
        for c in colours
        for d in tails
    ]
    before, wide = model.encode(captions), model.encode(more).double()
    model.calibrate(captions)
    after, mapped = model.encode(captions), model.encode(more).double()
    torch.testing.assert_close(after.mean(0), torch.zeros(16), atol=1e-3, rtol=0)
    assert after.var(0).mean().item() == pytest.approx(1, rel=1e-2)

    def share(x):
        strength = torch.linalg.svdvals(x - x.mean(0)) ** 2
        return (strength[0] / strength.sum()).item()

    assert share(after) < 0.7 * share(before)
    given = torch.cat([wide, torch.ones(len(more), 1, dtype=torch.float64)], 1)
    assert len(given) > 2 * given.shape[1], "more captions than unknowns"
    affine = torch.linalg.lstsq(given, mapped).solution
    torch.testing.assert_close(given @ affine, mapped, atol=2e-2, rtol=0)


def test_bad_variant_is_named():
    with pytest.raises(SDNError, match="did you mean 'cvpr'"):
        CharCNNRNN("cvrp")


# --- captions of which not everything can be read -------------------------------------------


def test_a_letter_that_lower_case_would_lengthen_shifts_nothing():
    assert len("İ".lower()) == 2
    read = to_indices(["İ red bird", "X red bird", "İ" * 300])
    assert torch.equal(read[0, 1:], read[1, 1:]) and read.shape == (3, text.LENGTH)


def test_composed_and_decomposed_accents_are_read_alike():
    assert torch.equal(*to_indices(["a réd bird", "a re\u0301d bird"]))


# --- files of captions -----------------------------------------------------------------------

