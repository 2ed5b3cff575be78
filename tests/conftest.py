"""What holds for every test: one thread a process, since the suite itself runs several at once."""

import torch

torch.set_num_threads(1)
