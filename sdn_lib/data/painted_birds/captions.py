"""Captions of a bird, each with the attributes that it mentions."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sdn_lib.data.painted_birds.attributes import COLOURED, MARKS
from sdn_lib.data.painted_birds.bird import Bird, Seed


@dataclass(frozen=True)
class Caption:
    """A sentence about a bird, and exactly those attributes whose value it tells."""

    text: str
    mentions: frozenset[str]


LONGEST = 200
"""Characters in the longest caption; the char-CNN-RNN reads 201."""

FAMILY_WORDS = {
    "finch": ("finch", "finch", "round finch", "stubby-billed finch"),
    "hawk": ("hawk", "hawk", "hook-billed hawk", "broad-winged hawk"),
    "heron": ("heron", "heron", "long-legged heron", "long-necked wading bird"),
    "duck": ("duck", "duck", "flat-billed duck", "low-bodied duck"),
    "owl": ("owl", "owl", "round-headed owl", "big-eyed owl"),
    "hummingbird": (
        "hummingbird",
        "hummingbird",
        "hovering hummingbird",
        "needle-billed hummingbird",
    ),
    "woodpecker": ("woodpecker", "woodpecker", "clinging woodpecker", "tree-climbing woodpecker"),
    "gull": ("gull", "gull", "seagull", "flying gull"),
}
PART_WORDS = {
    "crown": ("crown", "crown", "head", "cap"),
    "back": ("back", "back", "mantle"),
    "breast": ("breast", "belly", "chest"),
    "wing": ("wings", "wings", "feathers on its wings"),
    "tail": ("tail", "tail", "tail feathers"),
    "beak": ("beak", "bill"),
}
FACING_WORDS = (
    "facing {}",
    "facing {}",
    "facing to the {}",
    "looking to the {}",
    "turned to the {}",
)
SCENE_WORDS = {
    "sky": ("against the sky", "in front of a blue sky", "under the open sky"),
    "leaves": ("in front of green leaves", "among green leaves", "surrounded by leaves"),
    "water": ("on the water", "by the water", "in front of the water"),
    "snow": ("in the snow", "on a snowy day", "in front of white snow"),
    "branch": ("on a branch", "by a brown branch", "next to a branch"),
}
SIZE_WORDS = {"small": ("small", "small", "little"), "large": ("large", "big")}
SHAPED = {"beak": ("pointed",), "tail": ("short", "stiff"), "wing": ("rounded", "folded")}


def describe(bird: Bird, seed: Seed, count: int = 10) -> list[Caption]:
    """Describe a bird `count` times, each time by 3 to 8 of its attributes, seldom the same ones.

    Texts hold lower-case letters, digits and ``,-.'`` only and at most 200 characters. Marks that
    are absent ("no crest") count as mentioned when the text says so.
    """
    numbers = [seed] if isinstance(seed, int | np.integer) else list(seed)
    dice = random.Random("-".join(str(int(number)) for number in numbers))
    captions: list[Caption] = []
    seen: set[frozenset[str]] = set()
    while len(captions) < count:
        chosen = _choose(bird.attributes, dice)
        if chosen in seen and len(seen) < 40 and dice.random() < 0.9:
            continue
        text = _sentence(bird.attributes, chosen, dice)
        if len(text) <= LONGEST:
            seen.add(chosen)
            captions.append(Caption(text, chosen))
    return captions


def _choose(attributes: Mapping[str, str], dice: random.Random) -> frozenset[str]:
    """Draw the names of the 3 to 8 attributes that a caption mentions."""
    chosen = {
        name
        for name, chance in (("family", 0.9), ("facing", 0.75), ("scene", 0.6), ("size", 0.35))
        if dice.random() < chance
    }
    chances = {part: 1.0 for part in COLOURED}
    for mark in MARKS:
        chances[mark] = 0.12 if attributes[mark] == "none" else 0.8
    # The smallest of exponential waits: a draw without replacement, weighted.
    order = sorted(chances, key=lambda name: dice.expovariate(1.0) / chances[name])
    wanted = min(dice.choice((3, 4, 4, 5, 5, 6)), 8 - len(chosen))
    return frozenset(chosen | set(order[:wanted]))


def _sentence(attributes: Mapping[str, str], chosen: frozenset[str], dice: random.Random) -> str:
    pick = dice.choice
    noun = pick(FAMILY_WORDS[attributes["family"]]) if "family" in chosen else "bird"
    if "size" in chosen:
        noun = f"{pick(SIZE_WORDS[attributes['size']])} {noun}"
    facing = pick(FACING_WORDS).format(attributes["facing"]) if "facing" in chosen else ""
    scene = pick(SCENE_WORDS[attributes["scene"]]) if "scene" in chosen else ""
    where = f"{facing} {scene}".strip()
    aside = f", {where}" if where else ""
    names = [name for name in (*COLOURED, *MARKS) if name in chosen]
    dice.shuffle(names)
    things = _join(_noun_phrases(attributes, names, dice))
    style = dice.random()
    if style < 0.28:
        text = f"{pick(('this', 'the'))} {noun} has {things}"
        text += f" and is {where}" if facing and dice.random() < 0.5 else aside
    elif style < 0.50:
        text = f"{_with_article(noun)} {where}".rstrip() + f" with {things}"
    elif style < 0.66:
        text = f"this is {_with_article(noun)} with {things}{aside}"
    elif style < 0.78:
        clauses = _join([_clause(attributes, name, dice) for name in names])
        text = f"{pick(('this is ', ''))}{_with_article(noun)} {where}".rstrip() + f". {clauses}"
    elif style < 0.88 and names[0] in COLOURED:
        text = f"{_clause(attributes, names[0], dice, noun)}"
        text += f" and it has {_join(_noun_phrases(attributes, names[1:], dice))}"
        text += f". it is {where}" if facing else aside
    elif scene:
        text = f"{scene}, {_with_article(noun)}{' ' + facing if facing else ''} with {things}"
    else:
        text = f"{pick(('this', 'the'))} {noun} has {things}"
        text += f". it is {where}" if where else ""
    return text + ("." if dice.random() < 0.75 else "")


def _noun_phrases(
    attributes: Mapping[str, str], names: Sequence[str], dice: random.Random
) -> list[str]:
    """Noun phrases for `names`; two parts of one colour may share its word."""
    names, things = list(names), []
    while names:
        name = names.pop(0)
        if name not in COLOURED:
            things.append(_mark_phrase(attributes, name, dice))
            continue
        value = attributes[name]
        twin = next((n for n in names if n in COLOURED and attributes[n] == value), None)
        part = dice.choice(PART_WORDS[name])
        if twin and dice.random() < 0.7 and " on " not in part:
            names.remove(twin)
            other = dice.choice(PART_WORDS[twin][:2])
            pair = sorted((part, other), key=lambda word: word.endswith("s"))
            phrase = f"{_colour_word(value, dice)} {pair[0]} and {pair[1]}"
            things.append(phrase if pair[0].endswith("s") else _with_article(phrase))
            continue
        if dice.random() < 0.12 and " on " not in part:
            verb = "are" if part.endswith("s") else "is"
            phrase = f"{part} that {verb} {_colour_word(value, dice)}"
        else:
            shaped = name in SHAPED and " on " not in part and dice.random() < 0.12
            shape = dice.choice(SHAPED[name]) + " " if shaped else ""
            phrase = f"{shape}{_colour_word(value, dice)} {part}"
        things.append(phrase if part.endswith("s") else _with_article(phrase))
    return things


def _mark_phrase(attributes: Mapping[str, str], name: str, dice: random.Random) -> str:
    value = attributes[name]
    if name == "wing_bars":
        if value == "none":
            return dice.choice(("no wing bars", "plain wings without bars", "no wingbars"))
        many = (
            "two {} wing bars",
            "{} wingbars",
            "{} bars on its wings",
            "{} stripes on its wings",
        )
        return dice.choice(many).format(value)
    if name == "eye_ring":
        if value == "none":
            return dice.choice(("no eye ring", "a plain eye without a ring"))
        rings = ("a {} eye ring", "a {} eyering", "a {} ring around its eye")
        return dice.choice(rings).format(value)
    if value == "none":
        return "no crest"
    return dice.choice(("a crest", "a pointed crest", "a crest on its head", "a tufted crest"))


def _clause(attributes: Mapping[str, str], name: str, dice: random.Random, owner: str = "") -> str:
    if name not in COLOURED:
        return f"it has {_mark_phrase(attributes, name, dice)}"
    part = dice.choice([word for word in PART_WORDS[name] if " on " not in word])
    verb = "are" if part.endswith("s") else "is"
    subject = f"the {part} of this {owner}" if owner else f"its {part}"
    return f"{subject} {verb} {_colour_word(attributes[name], dice)}"


def _colour_word(value: str, dice: random.Random) -> str:
    if value == "grey" and dice.random() < 0.5:
        return "gray"
    if value in ("red", "orange", "yellow", "green", "blue", "purple") and dice.random() < 0.10:
        return f"bright {value}"
    return value


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _join(items: Sequence[str]) -> str:
    if len(items) < 2:
        return "".join(items)
    comma = "," if len(items) > 2 or " and " in " ".join(items) else ""
    return ", ".join(items[:-1]) + f"{comma} and {items[-1]}"
