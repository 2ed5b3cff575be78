"""``keras.ops`` for type checkers, which take what is not annotated there for None."""

from typing import Any

import keras

ops: Any = keras.ops
