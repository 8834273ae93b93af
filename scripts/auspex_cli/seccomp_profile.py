"""The executor's system call profile for container engines: the engine's default, plus what a user namespace needs.

bubblewrap makes namespaces and mounts inside them without any privilege; the engines' default profiles refuse those
calls to containers without SYS_ADMIN. One rule allows them, and the refusals that name them are taken out.
"""

SANDBOX_CALLS = [
    "clone", "clone3", "unshare", "setns", "mount", "umount", "umount2", "pivot_root", "move_mount", "open_tree", "fsopen", "fsconfig",
    "fsmount", "mount_setattr", "chroot", "sethostname", "setdomainname",
]


def executor_profile(default: dict) -> dict:
    """The default profile of an engine with the sandbox's calls allowed."""
    if default.get("defaultAction") not in ("SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS"):
        raise ValueError("this is no profile that refuses by default")
    rules = []
    for rule in default["syscalls"]:
        if rule["action"] != "SCMP_ACT_ALLOW":
            names = [name for name in rule["names"] if name not in SANDBOX_CALLS]
            if not names:
                continue
            rule = rule | {"names": names}
        rules.append(rule)
    allowed = {
        "names": SANDBOX_CALLS, "action": "SCMP_ACT_ALLOW", "args": [], "includes": {}, "excludes": {},
        "comment": "user namespaces for the sandbox of strangers' code",
    }
    return default | {"syscalls": [allowed, *rules]}
