"""Layouts in memory: what arrays have, what a program is asked for, and what intermediate values keep to.

Invariant: this module only gathers public names.
"""

from anima.sharding.formats import Format as Format, Layout as Layout
from anima.transforms.layout_constraint import with_layout_constraint as with_layout_constraint
