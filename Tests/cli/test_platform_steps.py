"""Small steps of `up` and `reset` that a whole platform is too large to show."""

import os
import subprocess
import unittest

from auspex_cli.bring_up import sandbox_level
from auspex_cli.commands.reset import delete_tree
from support import folder_for


class SandboxLevel(unittest.TestCase):
    def test_is_read_from_the_metrics_as_they_are_written(self):
        text = '# TYPE auspex_sandbox_level gauge\nauspex_sandbox_level{level="full"} 0.0\nauspex_sandbox_level{level="reduced"} 1.0\n'
        self.assertEqual(sandbox_level(text), "reduced")
        self.assertEqual(sandbox_level('auspex_sandbox_level{level="full",replica="1"} 1\n'), "full")
        self.assertIsNone(sandbox_level("nothing"))


class Deletion(unittest.TestCase):
    def test_folders_that_their_owner_may_not_write_go_too(self):
        folder = folder_for(self)
        outside = folder / "outside"
        outside.mkdir(mode=0o755)
        inner = folder / "state" / "environments" / "one"
        inner.mkdir(parents=True)
        (inner / "requirements.txt").write_text("x")
        (inner / "link").symlink_to(outside)
        for path in (inner, inner.parent):
            path.chmod(0o555)
        (folder / "state" / "closed").mkdir(mode=0o000)
        if os.geteuid() == 0:  # root may do all of this anyway
            subprocess.run(["chown", "-R", "nobody", str(folder)], check=True)
            child = os.fork()
            if child == 0:
                os.setuid(65534)
                try:
                    delete_tree(folder / "state")
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
        else:
            delete_tree(folder / "state")
        self.assertFalse((folder / "state").exists())
        self.assertEqual(outside.stat().st_mode & 0o777, 0o755)


if __name__ == "__main__":
    unittest.main()
