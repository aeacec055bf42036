"""The book's interactives: every combination, every layer, every step, and what is typed."""

import json

import pytest
import torch
from interactives import Page, bird_like

from sdn_lib import show, vgg
from sdn_lib.errors import SDNError
from sdn_lib.text import CharCNNRNN


def test_prompt_builder_paints_every_combination_in_batches():
    calls = []

    def render(attributes):
        calls.append(len(attributes))
        red = torch.tensor([float(a["crown"] == "red") for a in attributes])
        flat = red[:, None, None, None].expand(-1, 3, 8, 8)
        return {"stage one": flat * 0.5, "stage two": flat}

    built = show.prompt_builder(
        {"crown": ("red", "blue"), "wing": ("black", "white", "grey")}, render,
        lambda a: f"a bird with a {a['crown']} crown and {a['wing']} wings",
        live_text=lambda text: render([{"crown": text}]), default={"crown": "blue"}, batch=4,
    )
    assert calls == [4, 2]
    frame = built.frame(wing="white")
    assert frame.text == "a bird with a blue crown and white wings"
    assert [panel.label for panel in frame.panels] == ["stage one", "stage two"]
    assert built.frame(crown="red").panels[1].images[0].mean() == 255
    assert built.live("red").panels[1].images[0].mean() == 255
    with pytest.raises(SDNError, match="6 combinations"):
        show.prompt_builder(
            {"crown": ("red", "blue"), "wing": ("a", "b", "c")}, render, str, limit=5
        )
    with pytest.raises(SDNError, match="'stage one' returned 1 images for 2"):
        show.prompt_builder({"crown": ("red", "blue")}, lambda a: render(a[:1]), str)


def test_layer_scrubber_has_all_names_in_one_scale():
    generator = torch.Generator().manual_seed(0)
    shapes = vgg.shapes(19, 0.25, 64)
    teacher = {n: torch.rand((2, *s), generator=generator) for n, s in shapes.items()}
    student = {n: 0.5 * a for n, a in teacher.items()}
    built = show.layer_scrubber(vgg.names(), teacher, student, ["first", "second"])
    assert len(built.frames) == 44
    assert [c.name for c in built.controls] == ["example", "layer"]
    frame = built.frame(layer="conv3_2")
    assert "16 strongest of 64 channels, 16×16, mid level" in frame.text
    sides = [panel.images[0] for panel in frame.panels]
    assert sides[0].shape == sides[1].shape == (67, 67, 4)
    assert sides[0][..., 1].mean() > sides[1][..., 1].mean(), "half the values, darker"
    assert built.frame().panels[0].images[0].shape == (64, 64, 3)
    single = show.layer_scrubber(
        vgg.names(), {n: a[0] for n, a in teacher.items()}, {n: a[0] for n, a in student.items()}
    )
    assert [c.name for c in single.controls] == ["layer"]
    with pytest.raises(SDNError, match="student has no layer 'pool5'"):
        missing = {n: a for n, a in student.items() if n != "pool5"}
        show.layer_scrubber(vgg.names(), teacher, missing)
    with pytest.raises(SDNError, match="'conv1_1'"):
        show.layer_scrubber(["conv1_1"], teacher, {"conv1_1": teacher["conv1_1"][:, :3]})


def test_step_scrubber_has_a_row_for_each_run():
    images = bird_like(6)
    runs = {"stage one": [images[:3], images[3:]], "stage two": [images[3:], images[:3]]}
    built = show.step_scrubber([0, 1500], runs, ["a", "b", "c"], fixed={"real": images[:3]})
    assert built.default == ("1,500",)
    assert [p.label for p in built.frame().panels] == ["real", "stage one", "stage two"]
    page = Page(built.to_html())
    assert len(page.of("img", "sdn-frame")) == 9
    assert len(json.loads(page.data)["images"]) == 6
    assert page.of("button", "sdn-play") and len(page.of("li")) == 3
    with pytest.raises(SDNError, match="'stage one' has 1 entries for 2 steps"):
        show.step_scrubber([0, 1], {"stage one": [images]})


def typed_into_a_builder(caption):
    """Type a caption where CharCNNRNN reads it; return the page that the widget then shows."""
    pytest.importorskip("ipywidgets")
    reader = CharCNNRNN()
    built = show.prompt_builder(
        {"crown": ("red", "blue")},
        lambda asked: {"real": bird_like(len(asked)), "student": bird_like(len(asked))},
        lambda bird: f"a bird with a {bird['crown']} crown",
        live_text=lambda caption: {"student": bird_like(len(reader.encode([caption])))},
    )
    controls, view = built.widget().children
    controls.children[-1].value = caption
    return Page(view.value)


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("красная птица", "not one letter"),
        ("🐦", "not one letter"),
        ("a réd bird", "'é' (write e)"),
        ("a <script>alert('é')</script> & bird", "'é' (write e)"),
        ("a red\nbird", "(write a space)"),
        ("a red bird " * 1000, "only the first 201"),
        ("   ", "is empty"),
    ],
)
def test_what_cannot_be_read_of_a_typed_caption_is_said_in_the_widget(caption, words, recwarn):
    page = typed_into_a_builder(caption)
    (alert,) = [attributes for attributes in page.of("p") if attributes.get("role") == "alert"]
    assert alert and words in page.shown
    assert len(recwarn) == 0, "said once, in the widget"
    assert not page.of("script")
    if caption.strip():
        (picture,) = page.of("img", "sdn-frame")
        assert picture["alt"].startswith("a painted bird, student: ")
        assert caption[:201] in picture["alt"] and caption[:201] in page.shown
        assert len(page.shown) < 600


def test_a_typed_caption_that_is_read_whole_gets_no_remark():
    page = typed_into_a_builder("a 'red' bird")
    assert "a 'red' bird" in page.shown
    assert not [attributes for attributes in page.of("p") if attributes.get("role") == "alert"]
