import torch

from normwise.data import digits, load_data


def test_a_fifth_of_the_training_labels_is_drawn_and_no_test_label() -> None:
    right, wrong = digits(), load_data("image", "digits-with-wrong-labels")
    assert torch.equal(wrong.train_images, right.train_images)
    assert torch.equal(wrong.test_labels, right.test_labels)
    # A tenth of those that are drawn keep their label by chance.
    assert 0.14 < (wrong.train_labels != right.train_labels).double().mean() < 0.22


def test_the_same_labels_are_wrong_in_every_call() -> None:
    from normwise.data.images.altered.wrong_labels import digits_with_wrong_labels

    assert digits_with_wrong_labels().sha256 == digits_with_wrong_labels().sha256
