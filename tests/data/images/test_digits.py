import torch

from normwise.data import digits


def test_digits_have_their_known_form() -> None:
    data = digits()
    assert data.train_images.shape == (1297, 1, 8, 8)
    assert data.test_images.shape == (500, 1, 8, 8)
    assert data.classes == tuple("0123456789")
    assert (data.train_images.min(), data.train_images.max()) == (0, 1)


def test_every_image_is_in_exactly_one_part() -> None:
    from sklearn.datasets import load_digits

    data = digits()
    ours = torch.cat([data.train_images, data.test_images]).flatten(1).mul(16)
    theirs = torch.tensor(load_digits(return_X_y=True)[0], dtype=torch.float32)
    assert sorted(ours.tolist()) == sorted(theirs.tolist())


def test_each_digit_keeps_its_share() -> None:
    data = digits()
    shares = data.test_labels.bincount() / (data.test_labels.bincount() + data.train_labels.bincount())
    torch.testing.assert_close(shares, torch.full((10,), 500 / 1797), rtol=0.02, atol=0)


def test_the_split_is_fixed_and_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    first = digits()
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(1)
    second = digits()
    assert torch.equal(first.train_images, second.train_images)
    assert torch.equal(first.test_labels, second.test_labels)
    # Written down once: results from two machines are only comparable with one split.
    assert first.train_labels[:10].tolist() == [2, 1, 2, 5, 1, 5, 9, 3, 0, 5]
