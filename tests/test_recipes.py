import pytest

from sotglp_core.config import PRESETS, Config
from sotglp_core.recipes import RECIPES, draw_of, recipe, recipe_sources
from sotglp_core.workbench.embedded import chosen_rates


def test_settings_of_the_released_scripts():
    aircraft = recipe("reference", "fgvc_aircraft", backbone="ViT-B-16")
    assert (aircraft.epochs, aircraft.batch_size, aircraft.lr) == (200, 128, 0.01)
    assert (aircraft.local_prompts, aircraft.crops, aircraft.projection) == (2, "fresh", True)
    assert recipe("sotglp", "eurosat", backbone="ViT-B-16").batch_size == 10
    assert recipe("gallop", "sun397", backbone="ViT-B-16").batch_size == 128
    assert recipe("locoop", "imagenet", backbone="ViT-B-16").entropy_rank == 200
    assert recipe("plot", "imagenet", backbone="ViT-B-16").pooled_global


@pytest.mark.parametrize("shots, epochs", [(1, 50), (2, 100), (4, 100), (8, 200), (16, 200)])
def test_coop_trains_by_the_number_of_shots(shots, epochs):
    assert recipe("coop", "dtd", backbone="ViT-B-16", shots=shots).epochs == epochs
    assert recipe("coop", "imagenet", backbone="ViT-B-16", shots=shots).epochs == 50


def test_where_settings_come_from():
    given = dict(backbone="ViT-B-16", epochs=3)
    sources = recipe_sources("coop", "dtd", **given)
    assert set(sources) == set(Config().to_dict())
    assert sources["epochs"] == "given" and sources["global_context"] == "preset coop"
    assert sources["lr"] == RECIPES["coop"]["source"]
    assert recipe("coop", "dtd", **given).epochs == 3
    assert recipe_sources("coop")["lr"] == "validation images of the embedded task"


def test_the_embedded_rates_are_those_that_validation_chose():
    rates = chosen_rates()
    chosen = {name: {"lr": rates[name]} for name in PRESETS if name != "zeroshot"}
    assert chosen == RECIPES["pocket"]["methods"]


def test_a_dataset_of_ones_own_has_the_presets_settings():
    for name in PRESETS:
        assert recipe(name, None, backbone="ViT-B-16") == recipe(
            name, "my photos", backbone="ViT-B-16"
        )
        assert recipe(name, backbone="ViT-B-16").crops == 0


def test_draws():
    draws = {name: draw_of(name) for name in PRESETS}
    assert draws["coop"] == draws["locoop"] == draws["plot"] == "coop"
    assert draws["sotglp"] == draws["reference"] == draws["gallop"] == "stratified"
    assert draws["zeroshot"] == "exact"
