"""The Share page: a tab of the owner's own page, never of a public one."""

from .tab import share_tab

__all__ = ["share_tab"]
