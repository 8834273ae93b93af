"""The static files of the gateway: the page comes from services/gateway/page, the API documents are made here."""

import shutil
from pathlib import Path

from . import openapi
from .deployment import Deployment
from .downloads import fetch
from .layout import REPOSITORY, Layout

LOCK = REPOSITORY / "services" / "gateway" / "page.lock"


def swagger_files(layout: Layout) -> dict[str, Path]:
    """Swagger UI, fetched once and checked."""
    return fetch(LOCK, layout.downloads / "swagger-ui", layout)


def write(deployment: Deployment) -> None:
    """Fills the site folder; cheap when nothing changed."""
    site = deployment.gateway.site
    documents = site / "docs"
    documents.mkdir(parents=True, exist_ok=True)
    for name, path in swagger_files(deployment.layout).items():
        target = documents / name
        if not target.exists() or target.stat().st_size != path.stat().st_size:
            shutil.copyfile(path, target)
    (site / "openapi.json").write_text(openapi.merged_text())
