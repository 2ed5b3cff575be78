"""How many groups of channels group norm makes."""

#: Fewer channels than this are left in a group only where there are no more.
_LEAST = 4


def groups_of(channels: int) -> int:
    """The most groups, up to 32, that divide the channels evenly and leave at least four in each.

    References:
        Wu & He 2018, https://arxiv.org/abs/1803.08494, section 3.1: 32 by default.
    """
    most = max(1, min(32, channels // _LEAST))
    return next(groups for groups in range(most, 0, -1) if channels % groups == 0)
