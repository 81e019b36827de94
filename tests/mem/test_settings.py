"""A protection's switches are checked."""

from dataclasses import replace

import pytest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": "best"}, "text is 'best'; allowed: 'none', 'constant', 'random', 'optimised'"),
        ({"image": "gauss"}, "image is 'gauss'; allowed: 'none', 'uniform', 'pgd'"),
        ({"trigger_length": -1}, "trigger_length is -1"),
        ({"trigger_rounds": 3}, r"trigger_rounds is 3; allowed: \[0, 2\]"),
        ({"batch_size": 1}, "batch_size is 1"),
        ({"body": "mine"}, "body is 'mine'; allowed: 'own', 'shuffled', 'everywhere', 'other'"),
        ({"unit": "pixel"}, "unit is 'pixel'; allowed: 'pair', 'image', 'group'"),
        ({"unit": "group", "selection": "sample"}, "selection is 'sample'; allowed for the unit"),
        ({"maximise": True}, "maximise is True; allowed with optimised triggers: False"),
        ({"noise_steps": 0}, "noise_steps is 0"),
        ({"epsilon": 128}, r"epsilon is 128; allowed: \[0, 127\]"),
    ],
)
def test_settings_are_checked(change, message, small):
    with pytest.raises(ValueError, match=message):
        replace(small, **change)
