"""Resampling of images: arrays of any rank, resized, or scaled and moved.

Invariant: a name is public by being imported here as itself.

>>> import anima.numpy as np
>>> from anima import image
>>> print(image.resize(np.array([1.0, 3.0, 5.0, 7.0]), (2,), "linear", antialias=False))
[2. 6.]
"""

from anima.image.methods import ResizeMethod as ResizeMethod
from anima.image.resampling import (
    resize as resize,
    scale_and_translate as scale_and_translate,
)
