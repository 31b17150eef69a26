"""The embedded world: pictures, masks, species and captions agree with one another."""

import re

import numpy as np
import pytest

from sotglp_core.pocket import captions, traits, world
from sotglp_core.pocket.canvas import relief
from sotglp_core.pocket.foreground import FOREGROUND
from sotglp_core.pocket.scenery import HABITATS, SCENERY, SCENERY_WORDS
from sotglp_core.pocket.traits import (
    PARTS,
    SPECIES,
    TRAITS,
    UNSEEN,
    Bird,
    named_traits,
    random_bird,
)
from sotglp_core.pocket.world import KINDS, NAMES, SHIFTS, draw, part_grid

ALL = {**SPECIES, **UNSEEN}


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_fixes_the_picture(kind):
    one, two, other = draw(kind, rng(1)), draw(kind, rng(1)), draw(kind, rng(2))
    assert (
        np.array_equal(one.image, two.image)
        and np.array_equal(one.parts, two.parts)
        and one.words == two.words
    )
    assert not np.array_equal(one.image, other.image)
    assert one.image.shape == (112, 112, 3) and one.image.dtype == np.uint8
    assert (
        one.parts.shape == (112, 112)
        and one.parts.dtype == np.uint8
        and one.parts.max() < len(PARTS)
    )


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "bird"])
def test_everything_else_draws_without_a_bird(kind):
    for name in NAMES[kind]:
        picture = draw(kind, rng(3), name=name)
        assert picture.image.std() > 2 and not picture.parts.any() and picture.words["name"] == name


@pytest.mark.parametrize("family", TRAITS["family"])
def test_most_birds_show_every_part(family):
    shown = np.zeros(len(PARTS))
    for name, bird in ((n, b) for n, b in ALL.items() if b.family == family):
        for k in range(4):
            parts = draw("bird", rng(k, len(name)), bird=bird).parts
            shown += np.bincount(parts.ravel(), minlength=len(PARTS)) >= 4
    assert (shown >= 0.8 * 36).all()


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_shift_changes_the_image_and_not_the_mask(shift):
    for seed in range(5):
        plain, moved = draw("bird", rng(seed)), draw("bird", rng(seed), shift=shift)
        assert np.array_equal(plain.parts, moved.parts)
        assert not np.array_equal(plain.image, moved.image)
        assert {g: plain.words[g] for g in TRAITS} == {g: moved.words[g] for g in TRAITS}


def test_species_are_well_named_and_distinct():
    assert len(SPECIES) == 24 and len(UNSEEN) == 12 and len(ALL) == 36
    words = {captions.adjective(g, v) for g, values in TRAITS.items() for v in values}
    for name, bird in ALL.items():
        assert len(name.split()) == 3 and set(name.split()) <= words
        assert all(value in TRAITS[group] for group, value in bird.traits().items())
        stated = named_traits(name)
        spoken = [captions.adjective(g, v) for g, v in stated.items() if g != "family"]
        assert len(stated) == 3 and name == " ".join([*spoken, bird.family])
        for other, rival in ALL.items():
            if other != name:
                assert any(getattr(rival, g) != v for g, v in stated.items())
                assert sum(getattr(rival, g) != getattr(bird, g) for g in TRAITS) >= 3


def fits(bird, wanted):
    return all(getattr(bird, group) == value for group, value in wanted.items())


def test_birds_of_a_species_share_their_marks_and_borrow_the_rest():
    source, names_fit = rng(5), []
    for name, bird in ALL.items():
        fixed, siblings = (
            traits.fixed_traits(name),
            [b for n, b in SPECIES.items() if b.family == bird.family and n != name],
        )
        assert len(fixed) == 5 and named_traits(name).items() <= fixed.items()
        flock = [traits.individual(name, source) for _ in range(40)]
        assert all(fits(b, fixed) for b in flock)
        assert not any(
            fits(b, traits.fixed_traits(other)) for b in flock for other in ALL if other != name
        )
        assert all(
            {getattr(b, g) for b in flock} <= {getattr(b, g) for b in (bird, *siblings)}
            for g in TRAITS
        )
        if name in SPECIES:
            names_fit += [sum(fits(b, named_traits(other)) for other in SPECIES) for b in flock]
    assert 0.5 < np.mean(1 / np.array(names_fit)) < 0.75, (
        "how often somebody who reads names perfectly is right"
    )


@pytest.mark.slow
def test_random_birds_avoid_every_named_combination_and_cover_every_value():
    source, seen = rng(4), {group: set() for group in TRAITS}
    for _ in range(20_000):
        bird = random_bird(source)
        assert not traits.is_reserved(bird)
        for group, value in bird.traits().items():
            seen[group].add(value)
    assert all(seen[group] == set(values) for group, values in TRAITS.items())
    for bird in ALL.values():
        assert traits.is_reserved(bird)


def test_captions_name_only_true_traits():
    falsehoods = {
        (g, v): {captions.adjective(g, v)} for g in TRAITS if g != "family" for v in TRAITS[g]
    }
    source = rng(5)
    blank = np.zeros((112, 112, 3), np.uint8)
    for _ in range(1500):
        bird = random_bird(source)
        picture = world.Picture(
            blank, *2 * [blank[..., 0]], "bird", {**bird.traits(), "habitat": "forest"}
        )
        text = captions.caption(picture, source)
        words = set(re.findall(r"[a-z-]+", text))
        for (group, value), forms in falsehoods.items():
            if forms & words and group not in ("pattern", "wing"):
                assert getattr(bird, group) == value, text
        for part, group in (
            ("crown", "crown"),
            ("belly", "belly"),
            ("beak", "beak"),
            ("back", "back"),
            ("legs", "legs"),
            ("eye ring", "eye"),
        ):
            for value in re.findall(rf"(\w+) {part}\b", text):
                assert value in (getattr(bird, group), "no"), text
        for told in re.findall(r"((?:\w+ )?\w+) (?:wings|tail)\b", text):
            assert set(told.split()) - {"a", "an", "and", "with"} <= {
                bird.wing,
                bird.pattern,
                bird.tail,
                bird.shape,
            }, text
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text), text
        assert bird.family in words or "bird" in words


def test_phrases():
    assert captions.phrase("crown", "red") == "a bird with a red crown"
    assert captions.phrase("pattern", "barred") == "a bird with barred wings"
    assert captions.phrase("eye", "none") == "a bird without an eye ring"
    assert captions.phrase("crest", "plain") == "a bird without a crest"
    assert captions.phrase("beak", "orange") == "a bird with an orange beak"
    assert captions.phrase("family", "finch") == "a finch"
    for kind in KINDS:
        for k in range(5):
            assert captions.caption(draw(kind, rng(k)), rng(k))


def test_part_grid_takes_the_commonest_part_of_a_well_covered_cell():
    parts = np.zeros((112, 112), np.uint8)
    parts[:8, :8] = 5
    parts[:8, 8:12] = 2
    parts[:8, 16:18] = 3
    parts[8:13, :8], parts[13:16, :8] = 1, 4
    grid = part_grid(parts)
    assert grid.shape == (14, 14) and grid.dtype == np.uint8
    assert grid[0, :3].tolist() == [5, 2, 0] and grid[1, 0] == 1 and grid[2:].sum() == 0


def test_scenery_is_what_shows_beside_the_bird():
    seen = set()
    for i in range(60):
        picture = draw("bird", rng(i))
        behind = SCENERY.index(picture.words["habitat"])
        before = picture.scenery != behind
        assert set(picture.scenery[before]) <= set(range(len(FOREGROUND)))
        assert not (before & (picture.parts > 0)).any()
        grid, parts = world.scenery_grid(picture), world.part_grid(picture.parts)
        assert ((grid == world.UNKNOWN) == (parts > 0)).all()
        seen |= set(grid[parts == 0])
    assert seen == set(range(len(FOREGROUND))) | {SCENERY.index(h) for h in HABITATS}
    lake = draw("scene", rng(0), name="lakeside")
    assert (world.scenery_grid(lake) == SCENERY.index("lakeside")).all()
    assert (draw("object", rng(0)).scenery == world.UNKNOWN).all()
    words = [w for group in SCENERY_WORDS.values() for w in group.values()]
    assert len(set(words)) == len(set(SCENERY)) == len(SCENERY)


def test_a_bird_can_be_asked_for():
    bird = Bird(
        "finch",
        "red",
        "plain",
        "grey",
        "none",
        "black",
        "barred",
        "white",
        "black",
        "forked",
        "grey",
        "brown",
    )
    assert draw("bird", rng(6), bird=bird).words["crown"] == "red"
    with pytest.raises(ValueError):
        draw("cloud", rng(6))


def test_nothing_that_rises_leaves_the_picture_as_it_is():
    image = draw("bird", rng(1)).image
    flat = relief(image, np.zeros((112, 112), np.uint8), rng(2))
    np.testing.assert_array_equal(flat, image)
