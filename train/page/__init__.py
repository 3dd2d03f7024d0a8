"""The pages of training: tabs of the owner's own page, never of a public one."""

from .tab import corrections_tab

__all__ = ["corrections_tab"]
