"""One OpenAPI document out of the services' four: paths side by side, shared names told apart only where they differ."""

import json
from pathlib import Path

import yaml

from .layout import DATABASE_SERVICES, REPOSITORY

SECTIONS = ("schemas", "responses", "parameters", "requestBodies", "headers", "examples", "securitySchemes", "links")


def merge(documents: dict[str, dict]) -> dict:
    """Joins documents by service; a component that two services define differently gets the service's name in front."""
    merged: dict = {
        "openapi": max((str(document.get("openapi", "3.0.3")) for document in documents.values()), default="3.0.3"),
        "info": {"title": "Auspex", "version": "0.1.0", "description": "All public routes, as the gateway serves them."},
        "servers": [{"url": "/"}],
        "tags": [],
        "paths": {},
        "components": {},
    }
    for service, document in documents.items():
        renamed = _rename_clashes(service, document, merged["components"])
        for section, entries in (renamed.get("components") or {}).items():
            merged["components"].setdefault(section, {}).update(entries)
        known = {tag["name"] for tag in merged["tags"]}
        merged["tags"] += [tag for tag in renamed.get("tags") or [{"name": service}] if tag["name"] not in known]
        for path, item in (renamed.get("paths") or {}).items():
            if path in merged["paths"]:
                raise ValueError(f"{path} is described twice")
            for method, operation in item.items():
                if isinstance(operation, dict) and "responses" in operation:
                    operation.setdefault("tags", [service])
                    if "security" in renamed and "security" not in operation:
                        operation["security"] = renamed["security"]
            merged["paths"][path] = item
    return merged


def _rename_clashes(service: str, document: dict, taken: dict) -> dict:
    renames = {}
    for section in SECTIONS:
        for name, value in ((document.get("components") or {}).get(section) or {}).items():
            other = taken.get(section, {}).get(name)
            if other is not None and other != value:
                renames[f"#/components/{section}/{name}"] = f"#/components/{section}/{service.capitalize()}{name}"
    if not renames:
        return document
    result = _with_references(document, renames)
    for section in SECTIONS:
        entries = (result.get("components") or {}).get(section)
        if entries:
            result["components"][section] = {
                renames.get(f"#/components/{section}/{name}", name).rpartition("/")[2]: value for name, value in entries.items()
            }
    return result


def _with_references(value, renames: dict[str, str]):
    if isinstance(value, dict):
        return {
            key: renames.get(entry, entry) if key == "$ref" and isinstance(entry, str) else _with_references(entry, renames)
            for key, entry in value.items()
        }
    if isinstance(value, list):
        return [_with_references(entry, renames) for entry in value]
    return value


def read_all(root: Path = REPOSITORY) -> dict[str, dict]:
    """The services' documents that exist."""
    paths = {service: root / "services" / service / "openapi.yaml" for service in DATABASE_SERVICES}
    return {service: yaml.safe_load(path.read_text()) or {} for service, path in paths.items() if path.exists()}


def merged_text(root: Path = REPOSITORY) -> str:
    return json.dumps(merge(read_all(root)), indent=1, ensure_ascii=False, default=str) + "\n"
