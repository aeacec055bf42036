from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdn_lib.data import painted_birds as birds
from sdn_lib.data import prepared
from sdn_lib.data.painted_birds import dataset
from sdn_lib.errors import SDNError

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = birds.ATTRIBUTES["family"]
SMALL = {"size": 32, "species": 14, "test_species": 4, "images_per_species": 3}


@pytest.fixture(scope="module")
def species():
    return birds.make_species()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return birds.generate(tmp_path_factory.mktemp("birds") / "set", **SMALL, processes=1)


def nearest(colour):
    names = list(birds.PALETTE)
    table = np.array([birds.PALETTE[name] for name in names], float)
    return names[int(np.abs(table - colour).sum(1).argmin())]


# --- species ------------------------------------------------------------------------------------


def test_species_are_many_distinct_and_split(species):
    assert [s.id for s in species] == list(range(1, 201))
    assert len({s.name for s in species}) == 200
    assert [s.split for s in species].count("test") == 50
    assert len({tuple(s.attributes.values()) for s in species}) == 200
    assert all(s.attributes["wing_bars"] != s.attributes["wing"] for s in species)


def test_every_value_of_every_attribute_is_trained_on_and_balanced(species):
    for split, count in (("train", 150), ("test", 50)):
        own = [s.attributes for s in species if s.split == split]
        for name, values in birds.ATTRIBUTES.items():
            if name in birds.OF_THE_IMAGE:
                assert all(name not in attributes for attributes in own)
                continue
            counts = [sum(a[name] == value for a in own) for value in values]
            assert max(counts) - min(counts) <= 1 and sum(counts) == count


def test_species_names_say_what_is_true(species):
    words = {"crowned": "crown", "winged": "wing", "breasted": "breast", "tailed": "tail"}
    words |= {"backed": "back", "billed": "beak"}
    for one in species:
        *marks, family = one.name.split()
        assert family.lower() == one.attributes["family"]
        for mark in marks:
            colour, part = mark.lower().split("-")
            assert one.attributes[words[part]] == colour


def test_too_few_species_to_see_every_colour_is_refused():
    with pytest.raises(SDNError, match="leaves 9 species"):
        birds.make_species(12, 3)
    with pytest.raises(SDNError, match="seed is -1: choose 0 or more"):
        birds.make_species(seed=-1)


@pytest.mark.parametrize("n_test", [0, 1, 2])
def test_very_few_test_species_are_possible(n_test):
    assert [s.split for s in birds.make_species(20, n_test)].count("test") == n_test


def test_colours_of_the_palette_are_far_apart():
    table = np.array(list(birds.PALETTE.values()), int)
    apart = np.abs(table[:, None] - table[None]).sum(2) + 1000 * np.eye(len(table), dtype=int)
    assert apart.min() > 100


# --- pictures -----------------------------------------------------------------------------------


def test_a_seed_fixes_every_byte_and_another_seed_changes_the_picture(species):
    image, parts = birds.paint(birds.draw(species[0], (3, 1)), 64)
    again, parts_again = birds.paint(birds.draw(species[0], (3, 1)), 64)
    other, _ = birds.paint(birds.draw(species[0], (3, 2)), 64)
    assert image.tobytes() == again.tobytes() and parts.tobytes() == parts_again.tobytes()
    assert image.tobytes() != other.tobytes()


@pytest.mark.parametrize("size", [32, 64, 128, 224])
def test_every_size_shows_the_same_bird(size):
    for seed, family in enumerate(FAMILIES):
        bird = birds.bird_from({"family": family}, seed)
        image, parts = birds.paint(bird, size)
        assert image.shape == (size, size, 3) and image.dtype == np.uint8
        assert parts.shape == (size, size) and parts.dtype == np.uint8
        large = Image.fromarray(birds.paint(bird, 448)[0]).resize(
            (size, size), Image.Resampling.BOX
        )
        assert np.abs(np.asarray(large, float) - image).mean() < 5


@pytest.mark.parametrize("family", FAMILIES)
def test_part_map_and_picture_agree_on_the_colours(family):
    right = wrong = 0
    for seed in range(25):
        bird = birds.bird_from({"family": family}, (7, seed))
        image, parts = birds.paint(bird, 128)
        for part in birds.COLOURED:
            pixels = image[parts == birds.PARTS.index(part)]
            assert len(pixels) > 30, f"{part} of {family} is hardly to be seen"
            found = nearest(np.median(pixels, axis=0))
            right += found == bird.attributes[part]
            wrong += found != bird.attributes[part]
    assert right >= 0.97 * (right + wrong)


@pytest.mark.parametrize("family", FAMILIES)
def test_facing_decides_the_side_of_the_beak(family):
    for seed in range(4):
        for facing, sign in (("left", -1), ("right", 1)):
            bird = birds.bird_from({"family": family, "facing": facing}, seed)
            _, parts = birds.paint(bird, 64)
            beak = np.nonzero(parts == birds.PARTS.index("beak"))[1].mean()
            assert sign * (beak - np.nonzero(parts)[1].mean()) > 3


@pytest.mark.parametrize("family", FAMILIES)
def test_size_crest_bars_and_eye_ring_show(family):
    def look(**attributes):
        return birds.paint(birds.bird_from({"family": family, "wing": "blue", **attributes}, 5), 64)

    def extent(parts):
        return max(np.ptp(axis) + 1 for axis in np.nonzero(parts)) / 64

    small, large = (extent(look(size=size)[1]) for size in birds.ATTRIBUTES["size"])
    assert 0.66 < small < 0.83 < large < 0.99
    plain = {"wing_bars": "none", "eye_ring": "none", "crest": "none", "scene": "sky"}
    image, parts = look(**plain)
    for mark, value in (("wing_bars", "white"), ("wing_bars", "yellow"), ("eye_ring", "white")):
        marked, _ = look(**{**plain, mark: value})
        changed = (np.abs(marked.astype(int) - image).sum(2) > 60).sum()
        assert changed >= 5, f"{mark}={value} changes {changed} pixels"
    crown = birds.PARTS.index("crown")
    assert (look(**{**plain, "crest": "crested"})[1] == crown).sum() > (parts == crown).sum()


def test_scenes_differ_behind_the_same_bird():
    corner = {}
    for scene in birds.ATTRIBUTES["scene"]:
        looks = [birds.paint(birds.bird_from({"scene": scene}, s), 32) for s in range(12)]
        corner[scene] = np.mean([image[parts == 0].mean(0) for image, parts in looks], axis=0)
    for one in corner:
        for other in corner:
            if one != other:
                assert np.abs(corner[one] - corner[other]).max() > 12


@pytest.mark.parametrize("size", [15, 1025, 64.0, "64", None])
def test_a_bad_size_is_refused(size):
    with pytest.raises(SDNError, match="size must be a whole number from 16 to 1024"):
        birds.paint(birds.bird_from({}, 0), size)


def test_unknown_attributes_and_values_name_the_near_matches():
    with pytest.raises(SDNError, match="unknown attribute 'crow'.*'crown'"):
        birds.bird_from({"crow": "red"}, 0)
    with pytest.raises(SDNError, match="'wing' has no value 'yelow'.*'yellow'"):
        birds.bird_from({"wing": "yelow"}, 0)


# --- captions -----------------------------------------------------------------------------------

COLOUR = r"(?:bright )?(black|white|gr[ea]y|brown|red|orange|yellow|green|blue|purple)"
PART = r"(feathers on its wings|tail feathers|crown|head|cap|back|mantle|breast|belly|chest|wings"
PART += r"|tail|beak|bill)\b"
MEANS = {"head": "crown", "cap": "crown", "mantle": "back", "belly": "breast", "chest": "breast"}
MEANS |= {"wings": "wing", "feathers on its wings": "wing", "tail feathers": "tail"}
MEANS |= {"bill": "beak"}
PLAIN = {
    "family": rf"\b({'|'.join(FAMILIES)}|wading bird|seagull)\b",
    "size": r"\b(small|little|large|big) ",
    "facing": r"\b(?:facing|looking|turned)(?: to the)? (left|right)\b",
    "scene": r"\b(sky|leaves|water|snow|snowy|branch)\b",
    "wing_bars": r"\b(no|without|white|yellow)(?: wing ?bars| bars| stripes)\b",
    "eye_ring": r"\b(no|without a|white)(?: eye ?ring| ring)\b",
    "crest": r"\b((?:no |a |pointed |tufted )crest)\b",
}
SAME = {"little": "small", "big": "large", "wading bird": "heron", "seagull": "gull", "no": "none"}
SAME |= {"snowy": "snow", "without": "none", "without a": "none", "no crest": "none"}
SAME |= {"gray": "grey", "a crest": "crested", "pointed crest": "crested"}
SAME |= {"tufted crest": "crested"}


def read(text):
    """What a reader learns from a caption, by rules that share nothing with the writer's."""
    found = {}

    def learn(name, word):
        value = SAME.get(word, word)
        assert found.setdefault(name, value) == value, f"two values of {name}: {text}"

    for name, pattern in PLAIN.items():
        for word in re.findall(pattern, text):
            learn(name, word)
    rest = re.sub(
        r"(in front of|by|among|under|surrounded by) (a |the |green |blue )*\w+", "", text
    )
    rest = re.sub(r"(plain wings without bars|(bars|stripes) on its wings)", "", rest)
    adjective = r"(?:pointed |short |stiff |rounded |folded )?"
    for colour, first, second in re.findall(
        rf"{COLOUR} {adjective}{PART}(?: and {PART}(?! that| feathers))?", rest
    ):
        for part in filter(None, (first, second)):
            learn(MEANS.get(part, part), colour)
    for part, colour in re.findall(
        rf"\b{PART}(?: of this [\w -]+?)? (?:that )?(?:is|are) {COLOUR}", rest
    ):
        learn(MEANS.get(part, part), colour)
    return found


def test_mentions_are_exactly_what_the_caption_tells(species):
    spoken = set()
    for i, one in enumerate(species):
        bird = birds.draw(one, i)
        for caption in birds.describe(bird, (1, i)):
            found = read(caption.text)
            assert set(found) == set(caption.mentions), caption.text
            assert all(bird.attributes[name] == value for name, value in found.items()), (
                caption.text
            )
            spoken |= set(found.items())
    assert spoken == {(name, v) for name, values in birds.ATTRIBUTES.items() for v in values}


def test_captions_are_short_plain_varied_and_repeatable(species):
    share = dict.fromkeys(birds.ATTRIBUTES, 0)
    for i, one in enumerate(species):
        bird = birds.draw(one, i)
        captions = birds.describe(bird, i)
        assert captions == birds.describe(bird, i) != birds.describe(bird, i + 1)
        assert len(captions) == 10 and len({c.mentions for c in captions}) >= 8
        for caption in captions:
            assert re.fullmatch(r"[a-z0-9 ,\-.']{10,200}", caption.text)
            assert "  " not in caption.text and 3 <= len(caption.mentions) <= 8
            for name in caption.mentions:
                share[name] += 1 / 2000
    assert 0.85 < share["family"] < 0.95
    assert 0.68 < share["facing"] < 0.8 and 0.53 < share["scene"] < 0.67
    assert all(0.5 < share[part] < 0.65 for part in birds.COLOURED)
    assert len(birds.describe(birds.draw(species[0], 0), 0, count=3)) == 3


# --- the data set -------------------------------------------------------------------------------


def test_the_number_of_processes_changes_no_byte(made, tmp_path):
    spread = birds.generate(tmp_path / "set", **SMALL, processes=2)
    assert spread.checksum == made.checksum
    assert birds.generate(tmp_path / "other", **SMALL, seed=1).checksum != made.checksum


def test_what_is_written_is_what_was_painted_and_said(made):
    kinds = birds.make_species(14, 4, 0)
    values = made.tables["attributes"]
    assert values == {name: list(known) for name, known in birds.ATTRIBUTES.items()}
    assert made.tables["parts"] == list(birds.PARTS)
    assert made.manifest["source"]["seed"] == 0
    for row, kind in enumerate(k for k in kinds for _ in range(3)):
        bird = birds.draw(kind, (0, kind.id, row % 3))
        image, parts = birds.paint(bird, 32)
        assert np.array_equal(made.images[row], image)
        assert np.array_equal(made.arrays["parts"][row], parts)
        codes = dict(zip(values, made.arrays["attributes"][row], strict=True))
        assert {name: values[name][code] for name, code in codes.items()} == bird.attributes
        for text, mentions in zip(made.captions[row], made.arrays["mentions"][row], strict=True):
            assert set(np.array(list(values))[mentions]) == set(read(text))
        assert made.class_ids[row] == kind.id and made.splits[row] == kind.split
        stem = kind.name.replace(" ", "_").replace("-", "_")
        assert made.names[row] == f"{kind.id:03d}.{stem}/{row % 3 + 1:04d}"


def test_what_is_not_painted_yet_is_painted_when_asked_for(made, monkeypatch):
    config = {**SMALL, "seed": made.manifest["source"]["seed"]}
    bare = birds.unpainted(made.folder, **config)
    assert (len(bare.images), bare.size) == (len(made), made.size)
    assert bare.images.dtype == made.images.dtype and bare.images.shape == made.images.shape
    for field in ("names", "splits"):
        assert getattr(bare, field) == getattr(made, field)
    assert np.array_equal(bare.class_ids, made.class_ids)
    assert np.array_equal(bare.arrays["attributes"], made.arrays["attributes"])
    assert bare.tables["attributes"] == made.tables["attributes"]
    painted = []
    paint = dataset.paint
    monkeypatch.setattr(dataset, "paint", lambda *of: painted.append(of) or paint(*of))
    rows = np.array([40, 0, 7])
    assert np.array_equal(bare.images[rows], made.images[rows]) and len(painted) == len(rows)


def test_no_class_is_in_both_splits(made):
    train, test = (set(made.class_ids[made.indices(split)]) for split in ("train", "test"))
    assert len(train) == 10 and len(test) == 4 and not train & test


def test_progress_counts_images_up_to_the_total(tmp_path):
    seen = []
    birds.generate(tmp_path / "set", **SMALL, processes=1, progress=lambda *at: seen.append(at))
    assert seen[-1] == (42, 42) and [done for done, _ in seen] == list(range(3, 43, 3))


@pytest.mark.parametrize("wrong", [{"size": 8}, {"images_per_species": 0}, {"test_species": 6}])
def test_a_bad_request_writes_nothing(tmp_path, wrong):
    with pytest.raises(SDNError):
        birds.generate(tmp_path / "set", **{**SMALL, **wrong})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("file", ["manifest.json", "index.json", "images.npy", "arrays/parts.npy"])
@pytest.mark.parametrize("content", [b"", b"{", None])
def test_a_damaged_data_set_is_named_and_can_be_painted_again(tmp_path, file, content):
    folder, config = tmp_path / "set", {**SMALL, "captions": 10, "seed": 0}
    source = {"generator": "painted_birds", "version": birds.VERSION, **config}
    made = birds.generate(folder, **config, processes=1)
    path = folder / file
    whole = path.read_bytes()
    path.write_bytes(whole[:-3] + b"???" if content is None else content)
    if file == "manifest.json":
        with pytest.raises(prepared.PreparedError, match=f"{file} .*delete {folder}"):
            prepared.is_prepared(folder, source)
    else:
        assert prepared.is_prepared(folder, source)
    with pytest.raises(prepared.PreparedError, match=f"{file} .*delete {folder}"):
        prepared.load(folder)
    assert birds.generate(folder, **config, processes=1).checksum == made.checksum
    assert prepared.load(folder).checksum == made.checksum


def test_the_script_writes_a_data_set_and_reports_errors(tmp_path):
    command = [
        sys.executable,
        str(ROOT / "data_scripts/make_painted_birds.py"),
        str(tmp_path / "s"),
    ]
    command += ["--species", "12", "--test-species", "2", "--images-per-species", "1"]
    bad = subprocess.run([*command, "--size", "4"], cwd=ROOT, capture_output=True, text=True)
    assert bad.returncode == 2 and "size must be" in bad.stderr and not (tmp_path / "s").exists()
    good = subprocess.run([*command, "--size", "16"], cwd=ROOT, capture_output=True, text=True)
    assert good.returncode == 0, good.stderr
    assert len(prepared.load(tmp_path / "s")) == 12


def test_birds_that_match_a_caption_share_what_it_names_and_nothing_else(made, monkeypatch):
    painted, paint = [], birds.paint
    monkeypatch.setattr(dataset, "paint", lambda bird, n: (painted.append(bird), paint(bird, n))[1])
    row, caption = 3, made.captions[3][0]
    flock = birds.paint_matching(made, row, caption, 20)
    assert flock.shape == (20, made.size, made.size, 3) and flock.dtype == np.uint8
    table = made.tables["attributes"]
    for column, (name, values) in enumerate(table.items()):
        shown = {bird.attributes[name] for bird in painted}
        told = made.arrays["mentions"][row, 0, column]
        own = values[made.arrays["attributes"][row, column]]
        assert shown == {own} if told else len(shown) > 1
    assert np.array_equal(flock, birds.paint_matching(made, row, caption, 20))
    with pytest.raises(SDNError, match="has no caption"):
        birds.paint_matching(made, row, "a bird", 5)
