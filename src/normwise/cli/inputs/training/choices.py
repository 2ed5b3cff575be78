"""Names of networks, data sets and norms for ``normwise train``, with a short description of each."""

import inspect
from collections.abc import Sequence
from textwrap import indent

from normwise.data.registry import READERS, named_data
from normwise.records import Task

#: Networks of each task, without those that only the study trains. Their classes say what they are.
NETWORKS: dict[Task, tuple[str, ...]] = {
    "image": (
        *("ioffe_mlp", "mnist_cnn", "dense_bn", "conv_pair"),
        *("cnn_32", "cnn_64", "resnet", "row_lstm"),
    ),
    "speech": ("speech_lstm",),
    "text": ("sentiment_bilstm", "text_transformer"),
}
#: Norms that a network of any task can have, and those of each task.
_EVERYWHERE = {
    "batch": "batch normalization; padding of sequences is left out",
    "layer": "layer normalization: over the features of each sample",
    "none": "no normalization",
}
_OF_SEQUENCES = {
    "batch_unmasked": "batch normalization that lets padding into the statistics, for comparison",
    "recurrent_batch": "batch normalization within LSTM layers, with statistics for each time step",
    "recurrent_layer": "layer normalization within LSTM layers",
}
NORMS: dict[Task, dict[str, str]] = {
    "image": {
        "batch": "batch normalization; batch:momentum=0.01,eps=0.001 sets its options",
        "ghost": "batch normalization over parts of 32 samples; ghost:8 over parts of 8",
        "renorm": "batch renormalization; renorm:400 has the paper's schedule for 400 steps",
        "group": "group normalization",
        "layer": _EVERYWHERE["layer"],
        "instance": "instance normalization: over the positions of each image",
        "none": _EVERYWHERE["none"],
        "recurrent_batch": "for row_lstm: batch normalization within the LSTM layer",
    },
    "speech": _EVERYWHERE | _OF_SEQUENCES,
    "text": _EVERYWHERE | _OF_SEQUENCES,
}
_FILES = {
    "image": "a folder of images by class, or of IDX files",
    "speech": "a folder of WAV files",
    "text": "a folder with one CLASS.txt for each class, or a CSV file",
}


def listed_choices() -> str:
    """Return all names as text, task by task."""
    from normwise.models import TASKS
    from normwise.report.formats.lines import aligned

    parts = []
    for task in READERS:
        networks = [
            (name, (inspect.getdoc(TASKS[task][name]) or "").splitlines()[0]) for name in NETWORKS[task]
        ]
        data = [(name, known.about) for name, known in named_data(task).items()]
        sections: tuple[tuple[str, Sequence[tuple[str, str]]], ...] = (
            ("--model", networks),
            ("--data", [*data, ("PATH", _FILES[task])]),
            ("--norm", [*NORMS[task].items()]),
        )
        parts.append(f"normwise train {task}")
        for option, rows in sections:
            parts += [f"  {option}", indent("\n".join(aligned(rows)), "    ")]
        parts.append("")
    return "\n".join(parts)
