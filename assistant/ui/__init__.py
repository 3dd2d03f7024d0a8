"""The page. Knows Gradio and what `assistant` offers; no model library."""

from . import importing  # noqa: F401  (before any other module imports Gradio)
from .launch import launch_options
from .page import Opened, OwnerTab, build_page

__all__ = ["Opened", "OwnerTab", "build_page", "launch_options"]
