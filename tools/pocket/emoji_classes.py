"""Which emoji subcategories make a class, and which emoji are for testing.

A third of every subcategory, chosen by a hash of the code point, is for testing, in every
style and in every benchmark: a concept never crosses from train to test.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache

from tools.pocket.sources import Emoji, digest, emoji_table

Classes = dict[str, tuple[str, ...]]

MAMMAL: Classes = {"mammal": ("animal-mammal",)}
BIRD: Classes = {"bird": ("animal-bird",)}
FRUIT: Classes = {"fruit": ("food-fruit",)}
DISH: Classes = {"prepared dish": ("food-prepared",)}
DRINK: Classes = {"drink": ("drink",)}
CLOTHING: Classes = {"clothes": ("clothing",)}
TOOL: Classes = {"tool": ("tool",)}
VEHICLE: Classes = {"land vehicle": ("transport-ground",)}
BUILDING: Classes = {"building": ("place-building",)}
WEATHER: Classes = {"sky or weather": ("sky & weather",)}
CLOCK: Classes = {"clock": ("time",)}
ARROW: Classes = {"arrow": ("arrow",)}
HEART: Classes = {"heart": ("heart",)}
HAPPY: Classes = {"happy face": ("face-smiling", "face-affection")}
WORRIED: Classes = {"worried face": ("face-concerned",)}

CIL_CLASSES: Classes = {
    **MAMMAL, **BIRD, **FRUIT, **DISH, **DRINK, **CLOTHING, **TOOL, **VEHICLE, **BUILDING,
    **WEATHER, **CLOCK, **ARROW, **HEART, **HAPPY, **WORRIED,
    "plant": ("plant-flower", "plant-other"),
    "country flag": ("country-flag",),
    "hand": (
        "hand-fingers-open", "hand-fingers-partial", "hand-single-finger", "hand-fingers-closed",
        "hands",
    ),
    "person at work": ("person-role",),
    "sport": ("sport",),
}  # fmt: skip

X_TAIL_DOMAINS: dict[str, Classes] = {
    "animals": {
        **MAMMAL, **BIRD,
        "insect": ("animal-bug",),
        "sea animal": ("animal-marine",),
        "reptile or amphibian": ("animal-reptile", "animal-amphibian"),
    },
    "food": {
        **FRUIT, **DISH, **DRINK,
        "vegetable": ("food-vegetable",),
        "asian food": ("food-asian",),
        "sweet": ("food-sweet",),
    },
    "objects": {
        **CLOTHING, **TOOL,
        "computer": ("computer",),
        "household item": ("household",),
        "lamp or camera": ("light & video",),
        "book or paper": ("book-paper",),
        "office item": ("office",),
        "musical instrument": ("musical-instrument",),
        "mail": ("mail",),
        "game": ("game",),
    },
    "signs": {
        **ARROW, **CLOCK, **HEART,
        "letters": ("alphanum",),
        "media button": ("av-symbol",),
        "geometric shape": ("geometric",),
        "zodiac sign": ("zodiac",),
        "warning sign": ("warning",),
    },
    "faces": {
        **HAPPY, **WORRIED,
        "sceptical face": ("face-neutral-skeptical",),
        "ill face": ("face-unwell",),
        "cat or monkey face": ("cat-face", "monkey-face"),
        "angry or costumed face": ("face-negative", "face-costume"),
    },
    "travel": {
        **VEHICLE, **BUILDING, **WEATHER,
        "aircraft": ("transport-air",),
        "boat": ("transport-water",),
        "landscape": ("place-geographic", "place-other"),
    },
}  # fmt: skip

DIL_CLASSES: Classes = {
    **MAMMAL, **BIRD, **FRUIT, **DISH, **CLOTHING, **TOOL, **VEHICLE, **BUILDING, **WEATHER,
    **CLOCK, **HAPPY, **WORRIED,
}  # fmt: skip


@cache
def test_codes() -> frozenset[str]:
    groups: dict[str, list[Emoji]] = defaultdict(list)
    for emoji in emoji_table():
        groups[emoji.subcategory].append(emoji)
    chosen: set[str] = set()
    for members in groups.values():
        ranked = sorted(members, key=lambda emoji: digest(emoji.code))
        chosen.update(emoji.code for emoji in ranked[: (len(ranked) + 2) // 3])
    return frozenset(chosen)


def members(subcategories: tuple[str, ...]) -> list[Emoji]:
    """The emoji of a class, in an order that any prefix of is a fair sample."""
    found = [emoji for emoji in emoji_table() if emoji.subcategory in subcategories]
    return sorted(found, key=lambda emoji: digest("sample " + emoji.code))
