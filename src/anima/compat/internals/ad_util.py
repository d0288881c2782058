"""For `lineax`, which gives the primitive a transpose: no program contains it."""

from anima.extend.core import Primitive

stop_gradient_p = Primitive("stop_gradient")
