"""Known images made harder: in other light, or with wrong labels."""
