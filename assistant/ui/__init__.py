"""The page. Knows Gradio and what `assistant` offers; no model library."""

from .launch import launch_options
from .page import OwnerTab, build_page

__all__ = ["OwnerTab", "build_page", "launch_options"]
