"""Which function answers which request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import git_lfs, huggingface, modelscope

_ID = r"(?P<name>[\w.-]+/[\w.-]+?)"
_TYPE = r"(?P<types>model|space)s"

ROUTES: list[tuple[str, Callable[..., Any]]] = [
    (r"GET /api/whoami-v2", huggingface.whoami),
    (r"POST /api/repos/create", huggingface.create),
    (r"POST /api/validate-yaml", huggingface.validate_yaml),
    (rf"POST /api/{_TYPE}/{_ID}/preupload/(?P<revision>.+)", huggingface.preupload),
    (rf"POST /api/{_TYPE}/{_ID}/commit/(?P<revision>.+)", huggingface.commit),
    (rf"GET /api/{_TYPE}/{_ID}/xet-(?:read|write)-token/(?P<revision>.+)", huggingface.xet_token),
    (rf"GET /api/{_TYPE}/{_ID}(?:/revision/(?P<revision>.+))?", huggingface.info),
    (rf"GET /api/{_TYPE}/{_ID}/tree/(?P<revision>[^/]+)", huggingface.tree),
    (rf"POST /api/spaces/{_ID}/secrets", huggingface.add_secret),
    (rf"GET /api/spaces/{_ID}/runtime", huggingface.runtime),
    (rf"(?:GET|HEAD) /(?:(?P<types>space)s/)?{_ID}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", huggingface.resolve),
    (r"GET /openapi/v1/users/me", modelscope.me),
    (rf"GET /openapi/v1/(?P<types>model|studio)s/{_ID}", modelscope.info),
    (rf"GET /api/v1/models/{_ID}", modelscope.info),
    (r"POST /api/v1/models", modelscope.create_model),
    (r"POST /openapi/v1/studios", modelscope.create_studio),
    (rf"POST /openapi/v1/studios/{_ID}/deploy", modelscope.deploy),
    (rf"(?P<method>GET|POST|PUT) /openapi/v1/studios/{_ID}/secrets", modelscope.secrets),
    (rf"POST /api/v1/repos/models/{_ID}/info/lfs/objects/batch", modelscope.batch),
    (rf"POST /api/v1/repos/models/{_ID}/commit/(?P<revision>.+)", modelscope.commit),
    (rf"GET /api/v1/models/{_ID}/repo/files", modelscope.files),
    (rf"(?:GET|HEAD) /api/v1/models/{_ID}/repo", modelscope.file),
    (r"PUT /lfs/(?P<oid>[0-9a-f]{64})(?:/(?P<part>\d+))?", git_lfs.put),
    (r"POST /lfs/(?P<oid>[0-9a-f]{64})/complete", git_lfs.complete),
    (r"GET /lfs/(?P<oid>[0-9a-f]{64})", git_lfs.get),
    (r"POST /lfs/verify", git_lfs.verify),
    (rf"POST /(?:(?P<types>studio|space)s/)?{_ID}(?:\.git)?/info/lfs/objects/batch", git_lfs.batch),
    (rf"(?:GET|POST) /(?:(?P<types>studio|space)s/)?{_ID}\.git/info/lfs/locks(?:/verify)?", git_lfs.no_locks),
    (rf"(?:GET|POST) /(?:(?P<types>studio|space)s/)?{_ID}\.git/(?P<rest>.+)", git_lfs.backend),
]  # fmt: skip
