"""Fields that belong together: what most classes without behaviour of their own are.

A dataclass does the same and takes a millisecond to define, at every start; sixty of them were a sixth of the time to
the first answer. Nothing looks at the annotations while it runs, so they may name what is imported for type checking
only (``inspect.signature`` then does not know them).
"""

import msgspec


class Value(msgspec.Struct, frozen=True):
    """Fields that never change; two are equal where all their fields are."""


class Mutable(msgspec.Struct, eq=False):
    """Fields that change; each is equal to itself alone."""
