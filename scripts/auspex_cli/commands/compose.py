"""Write what compose/compose.yaml needs into var/compose: programs, secrets, configuration

usage: ./auspex compose [--seccomp FILE] [--binaries DIR]

  --seccomp FILE   the container engine's default seccomp profile (default /usr/share/containers/seccomp.json)
  --binaries DIR   programs that are built already, with --static-swift-stdlib

Then, in compose/: docker compose up -d --wait. See docs/compose.md."""

from pathlib import Path

from .. import packages
from ..compose_files import DEFAULT_PROFILE, ComposeFiles, build_static
from ..console import say, usage
from ..layout import REPOSITORY, Layout
from ..options import Options


def run(arguments: list[str]) -> int:
    options = Options(arguments, values=("--seccomp", "--binaries"))
    options.none_left()
    layout = Layout(REPOSITORY / "var" / "compose" / "made")
    layout.prepare()
    packages.ensure(packages.RUN + packages.BUILD, layout.log("apt"))
    if (text := options.value("--binaries")) and not Path(text).is_dir():
        raise usage(f"--binaries: there is no folder '{text}'")
    binaries = Path(text).absolute() if text else build_static(layout)
    ComposeFiles(REPOSITORY / "var" / "compose", binaries, Path(options.value("--seccomp") or DEFAULT_PROFILE)).write()
    say("var/compose is written; now: cd compose && docker compose up -d --wait")
    return 0
