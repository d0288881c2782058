"""What `with_refs` of a pullback is told about each argument, and what it returns in its place.

>>> import anima
>>> _, pullback = anima.vjp(lambda x, y: x * y, 2.0, 3.0)
>>> print(pullback.with_refs(anima.ad.GradValue(), anima.ad.DontWant())(1.0)[1])
DidntWant()
"""

from anima.transforms.linear_maps import (
    DidntWant as DidntWant,
    DontWant as DontWant,
    GradRef as GradRef,
    GradValue as GradValue,
)
