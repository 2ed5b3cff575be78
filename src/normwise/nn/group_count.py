"""Number of groups of channels in group norm."""

#: Fewest channels of a group, unless the layer has fewer.
_LEAST = 4


def groups_of(channels: int) -> int:
    """Return the largest number of groups, up to 32, that divides the channels and leaves at least four in each.

    References:
        Wu & He 2018, https://arxiv.org/abs/1803.08494, section 3.1: 32 by default.
    """
    most = max(1, min(32, channels // _LEAST))
    return next(groups for groups in range(most, 0, -1) if channels % groups == 0)
