"""Stop everything that `up` started; data stay

usage: ./auspex down [--var DIR]"""

from ..console import say, step
from ..deployment import layout_from
from ..locking import exclusive
from ..options import Options
from ..platform_control import PlatformControl
from ..settings import Settings


def run(arguments: list[str]) -> int:
    options = Options(arguments, values=("--var",))
    options.none_left()
    layout = layout_from(options, Settings())
    control = PlatformControl(layout)
    if control.pid is None:
        say(f"nothing runs from {layout.var}")
        return 0
    with exclusive(layout.run / "lock", "an './auspex up' is at work"), step("stop services and servers", log=layout.log("supervisor")):
        control.end()
    return 0
