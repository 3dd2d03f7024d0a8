"""A hub that takes uploads: Hugging Face's API (plain LFS, multipart, Xet), ModelScope's, and git
over HTTP with LFS, all over one store of bare git repositories. With switches for what goes wrong.
"""

from .server import Fault, Gate, ShareServer, share_server

__all__ = ["Fault", "Gate", "ShareServer", "share_server"]
