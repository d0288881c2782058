"""The current mesh, under the name that programs knew it by when `with mesh:` was the way to set it.

Invariant: this is `sharding.get_mesh`, read when it is asked for.
"""

from __future__ import annotations

from anima.sharding import Mesh, get_mesh

__all__ = ["thread_resources"]


class _Environment:
    __slots__ = ()

    @property
    def physical_mesh(self) -> Mesh:
        """The current mesh of this thread; the empty mesh if there is none."""
        return get_mesh()


class _Resources:
    """What the thread's programs run on.

    >>> import anima
    >>> from anima.interpreters import pxla
    >>> with anima.set_mesh(anima.make_mesh((1,), ("x",))):
    ...     print(pxla.thread_resources.env.physical_mesh.axis_names)
    ('x',)
    """

    __slots__ = ()
    env = _Environment()


thread_resources = _Resources()
