"""``keras.ops`` for type checkers, which would infer None for its unannotated functions."""

from typing import Any

import keras

ops: Any = keras.ops
