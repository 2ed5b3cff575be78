import torch

from normwise.data import digits, load_data
from normwise.data.images.altered.light import GAINS, POOREST, in_mixed_light


def test_each_image_has_a_contrast_and_a_brightness_of_its_own() -> None:
    images = torch.rand(200, 1, 4, 4, dtype=torch.float64)
    lit = in_mixed_light(images, seed=3).flatten(1)
    plain = images.flatten(1)
    contrast = (lit.amax(1) - lit.amin(1)) / (plain.amax(1) - plain.amin(1))
    brightness = lit.amin(1) - contrast * plain.amin(1)
    assert bool(((contrast >= POOREST) & (contrast <= 1)).all())
    assert bool(((brightness >= -1e-12) & (brightness <= 1 - contrast + 1e-12)).all())
    assert len(contrast.round(decimals=6).unique()) > 190
    # Logarithms are uniform: half of the images have less than the geometric middle.
    assert 0.35 < (contrast < POOREST**0.5).double().mean() < 0.65


def test_the_light_is_the_same_in_every_call_and_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    first, second = (in_mixed_light(torch.ones(5, 1, 2, 2), seed=1) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())


def test_digits_in_mixed_light_are_the_digits() -> None:
    plain, lit = digits(), load_data("image", "digits-in-mixed-light")
    assert torch.equal(lit.train_labels, plain.train_labels)
    assert not torch.equal(lit.train_images, plain.train_images)
    correlation = torch.corrcoef(torch.stack([lit.test_images[0].flatten(), plain.test_images[0].flatten()]))
    torch.testing.assert_close(correlation, torch.ones(2, 2))


def test_the_class_of_a_darkened_digit_is_its_gain() -> None:
    plain, dark = digits(), load_data("image", "lights-of-digits")
    gains = torch.tensor(GAINS)[dark.test_labels]
    torch.testing.assert_close(dark.test_images, plain.test_images * gains[:, None, None, None])
    assert dark.classes == ("100%", "80%", "64%", "51%", "41%")
    assert bool((dark.train_labels.bincount() > 200).all())
