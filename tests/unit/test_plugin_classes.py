"""Settings of a sweeper make only samplers, since Hydra makes them in tflbuild's own process."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.config.composing.hydra_setup import SweepPlugins
from tflbuild.config.hydra_plugins import require_plugin_classes
from tflbuild.errors import RecipeError

SWEEPER = "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper"


def drive(**sweeper):
    config = {"hydra": {"sweeper": {"_target_": SWEEPER, **sweeper}, "launcher": {"_target_": "x.Launcher"}}}
    return SweepPlugins("optuna", "tflbuild", OmegaConf.create(config), None)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"sampler": {"_target_": "os.system", "command": "touch canary"}}, "hydra.sweeper.sampler._target_"),
        ({"sampler": {"_target_": "optuna.samplers._base.os.system"}}, "hydra.sweeper.sampler._target_"),
        (
            {"sampler": {"_target_": SWEEPER.replace("OptunaSweeper", "subprocess.Popen")}},
            "hydra.sweeper.sampler._target_",
        ),
        ({"params": [{"deep": [{"_target_": "subprocess.run"}]}]}, "hydra.sweeper.params.0.deep.0._target_"),
        ({"custom_search_space": "evil.extend"}, "hydra.sweeper.custom_search_space"),
    ],
)
def test_what_is_no_part_of_a_plugin_is_not_called(settings, key):
    with pytest.raises(RecipeError) as error:
        require_plugin_classes(drive(**settings), KeyLocations())
    assert f"'{key}' would call" in str(error.value)


def test_samplers_of_optuna_are_made():
    require_plugin_classes(drive(sampler={"_target_": "optuna.samplers.TPESampler", "seed": 1}), KeyLocations())
    require_plugin_classes(drive(custom_search_space=None), KeyLocations())
