"""Secrets, made at random once and kept in files that only their owner can read."""

import secrets as randomness
from pathlib import Path

from .users import private_file


class SecretFolder:
    """`var/secrets`: one secret a file, mode 0600; asking for a secret makes it the first time."""

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / name

    def password(self, name: str) -> str:
        """43 characters of base64url: 256 bits, and harmless in URLs and configuration files."""
        path = self.path(name)
        if not path.exists():
            self.write(name, randomness.token_urlsafe(32))
        return path.read_text().strip()

    def write(self, name: str, text: str) -> Path:
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        for folder in (path.parent, self.folder):
            folder.chmod(0o700)
        return private_file(path, text if text.endswith("\n") else text + "\n")
