// The root folder of a run, made before bubblewrap starts, while the launcher is still root: shown at /mnt in a mount namespace of its own.
//
// bubblewrap could make it too, but it reads and parses the list of all mounts for each folder that it binds, which is most of what it costs;
// it would have to pass closed parents of a folder (a clone below /root, say) as the slot's user, which it may not; and what is mounted here
// belongs to a user namespace above the run's, whose read-only, no-device and no-set-user flags nobody inside could ever take away.

#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define ROOT "/mnt"

// Of the kernel's interface, whose header cannot be read beside sys/mount.h of every C library.
enum { attribute_read_only = 1, attribute_no_set_user = 2, attribute_no_devices = 4 };
enum { copied_mount = 1, below_as_well = 0x8000, from_descriptor = 4 };

struct attributes {
    uint64_t set, clear, propagation, user_namespace;
};

/// Everything that a folder of the host is shown with.
enum { nothing_special = attribute_no_set_user | attribute_no_devices };

static bool make_parents(const char *path) {
    char part[512];
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = part + sizeof ROOT; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        if (mkdir(part, 0755) != 0 && errno != EEXIST) return false;
        *slash = '/';
    }
    return true;
}

/// Makes what is mounted upon: a folder, or a file for everything else.
static bool make_place(const char *path, mode_t kind) {
    if (!make_parents(path)) return false;
    if (S_ISDIR(kind)) return mkdir(path, 0755) == 0 || errno == EEXIST;
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0444);
    if (file < 0) return false;
    close(file);
    return true;
}

/// Without the newer calls the flags of one mount are set at a time, and all of them at once.
static bool restrict_one(const char *path, uint64_t attributes) {
    struct statvfs found;
    if (statvfs(path, &found) != 0) return false;
    unsigned long flags = MS_REMOUNT | MS_BIND;
    if (attributes & attribute_read_only || found.f_flag & ST_RDONLY) flags |= MS_RDONLY;
    if (attributes & attribute_no_set_user || found.f_flag & ST_NOSUID) flags |= MS_NOSUID;
    if (attributes & attribute_no_devices || found.f_flag & ST_NODEV) flags |= MS_NODEV;
    if (found.f_flag & ST_NOEXEC) flags |= MS_NOEXEC;
    if (found.f_flag & ST_NOATIME) flags |= MS_NOATIME;
    if (found.f_flag & ST_NODIRATIME) flags |= MS_NODIRATIME;
    if (found.f_flag & ST_RELATIME) flags |= MS_RELATIME;
    return mount(NULL, path, NULL, flags, NULL) == 0;
}

/// A folder, file or device of the host, taken before anything could cover it. With `whole` also what is mounted below it.
struct taken {
    int descriptor;
    uint64_t attributes;
    // Whether it is a mount of its own that has its restrictions, and not just a place to be bound.
    bool is_mount;
};

static bool take(struct taken *taken, const char *path, uint64_t attributes, bool whole) {
    unsigned below = whole ? below_as_well : 0;
    struct attributes wanted = {.set = attributes};
    taken->attributes = attributes;
    taken->is_mount = true;
    taken->descriptor = (int)syscall(SYS_open_tree, AT_FDCWD, path, copied_mount | O_CLOEXEC | below);
    if (taken->descriptor >= 0 && syscall(SYS_mount_setattr, taken->descriptor, "", AT_EMPTY_PATH | below, &wanted, sizeof wanted) == 0) return true;
    // A container may forbid what its kernel has. If what forbids them is a lack of privilege, `mount` will say so too.
    if (errno != ENOSYS && errno != EPERM) return false;
    // Without these calls nothing below it could be restricted, so nothing below is shown either.
    if (taken->descriptor >= 0) close(taken->descriptor);
    taken->is_mount = false;
    taken->descriptor = open(path, O_PATH | O_CLOEXEC);
    return taken->descriptor >= 0;
}

/// Shows at `target`, below the root, what was taken.
static bool show(const struct taken *taken, const char *target) {
    struct stat found;
    char from[64], to[512];
    snprintf(to, sizeof to, ROOT "%s", target);
    if (fstat(taken->descriptor, &found) != 0 || !make_place(to, found.st_mode)) return false;
    if (taken->is_mount) {
        if (syscall(SYS_move_mount, taken->descriptor, "", AT_FDCWD, to, from_descriptor) != 0) return false;
    } else {
        snprintf(from, sizeof from, "/proc/self/fd/%d", taken->descriptor);
        if (mount(from, to, NULL, MS_BIND, NULL) != 0 || !restrict_one(to, taken->attributes)) return false;
    }
    close(taken->descriptor);
    return true;
}

/// The devices that every run has, and the links that programs expect beside them.
static bool make_devices(void) {
    static const struct { const char *path; unsigned major, minor; } devices[] = {
        {"/dev/null", 1, 3}, {"/dev/zero", 1, 5}, {"/dev/full", 1, 7}, {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
    };
    static const char *const links[][2] = {
        {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"},
        {"/proc/self/fd", "fd"}, {"/proc/kcore", "core"}, {"pts/ptmx", "ptmx"},
    };
    char path[64];
    if (mkdir(ROOT "/dev", 0755) != 0 || mount("auspex", ROOT "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=64k") != 0) return false;
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
        // Made and not bound: a mount costs more than all of them, at every step from here to the end of the run.
        snprintf(path, sizeof path, ROOT "%s", devices[i].path);
        if (mknod(path, S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor)) == 0 && chmod(path, 0666) == 0) continue;
        struct taken device;
        if (!take(&device, devices[i].path, attribute_no_set_user, false) || !show(&device, devices[i].path)) return false;
    }
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        snprintf(path, sizeof path, ROOT "/dev/%s", links[i][1]);
        if (symlink(links[i][0], path) != 0) return false;
    }
    if (mkdir(ROOT "/dev/shm", 0755) != 0 || mkdir(ROOT "/dev/pts", 0755) != 0) return false;
    return mount("devpts", ROOT "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620") == 0;
}

/// Makes it. Gives null, or the step that failed, with errno.
const char *root_make(const struct options *options) {
    if (!options->system_folder) return NULL;
    // Everybody may pass its folders, whatever the executor was started with.
    umask(022);
    if (unshare(CLONE_NEWNS) != 0) return "unshare mounts";
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return "private mounts";
    // bubblewrap still reads the list of all mounts a few times: what it never needs is not on the list.
    umount2("/sys", MNT_DETACH);
    // All are taken before they could be covered: one may lie below /mnt.
    char usr[4096];
    snprintf(usr, sizeof usr, "%s/usr", options->system_folder);
    struct taken system, *sources = calloc((size_t)options->shown_count + 1, sizeof *sources);
    if (!sources) return "memory";
    if (!take(&system, usr, nothing_special | attribute_read_only, true)) return "usr of the system";
    for (int i = 0; i < options->shown_count; i++) {
        const struct shown *shown = &options->shown[i];
        uint64_t attributes = shown->device ? attribute_no_set_user : nothing_special | (shown->writable ? 0 : attribute_read_only);
        if (!take(&sources[i], shown->source, attributes, false)) return shown->source;
    }
    if (mount("auspex", ROOT, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=64k") != 0) return "mount " ROOT;
    if (!show(&system, "/usr")) return "/usr";
    static const char *const links[][2] = {{"usr/lib", ROOT "/lib"}, {"usr/lib64", ROOT "/lib64"}, {"usr/bin", ROOT "/bin"}};
    for (int i = 0; i < 3; i++)
        if (symlink(links[i][0], links[i][1]) != 0) return links[i][1];
    if (mkdir(ROOT "/proc", 0755) != 0 || mkdir(ROOT "/tmp", 0755) != 0) return "folders of " ROOT;
    if (!make_devices()) return "devices of " ROOT;
    for (int i = 0; i < options->shown_count; i++)
        if (!show(&sources[i], options->shown[i].target)) return options->shown[i].target;
    // The folders themselves last, and as file systems: there is no mount left through which anything could be written into them.
    if (mount(NULL, ROOT "/dev", NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NOEXEC, NULL) != 0) return "read-only " ROOT "/dev";
    if (mount(NULL, ROOT, NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) != 0) return "read-only " ROOT;
    return NULL;
}
