// The command line of `sandbox-launch run`. Only the executor calls it, so a mistake ends the program with one line.

#include "launcher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void refuse(const char *what, const char *value) {
    fprintf(stderr, "sandbox-launch: %s: %s\n", what, value ? value : "");
    exit(64);
}

static uint64_t number(const char *text) {
    char *end = NULL;
    unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *end != 0) refuse("not a number", text);
    return value;
}

/// Splits KEY=VALUE in place and returns the value.
static char *split(char *text) {
    char *equals = strchr(text, '=');
    if (!equals) refuse("not NAME=PATH", text);
    *equals = 0;
    return equals + 1;
}

static void add_cgroup(struct options *options, const char *controller, const char *parent) {
    if (options->cgroup_count == MAXIMUM_CGROUPS) refuse("too many cgroups", parent);
    options->cgroups[options->cgroup_count++] = (struct cgroup){.controller = controller, .parent = parent};
}

/// Whether a path has one spelling, so that what lies below what can be seen by its text.
static bool is_plain(const char *path) {
    size_t length = strlen(path);
    return path[0] == '/' && length > 1 && length <= 400 && path[length - 1] != '/' && !strstr(path, "//") && !strstr(path, "/.");
}

static bool is_at_or_below(const char *path, const char *other) {
    size_t length = strlen(other);
    return strncmp(path, other, length) == 0 && (path[length] == 0 || path[length] == '/');
}

static bool is_at_or_below_any(const char *path, const char *const *others) {
    for (; *others; others++)
        if (is_at_or_below(path, *others)) return true;
    return false;
}

/// Adds it unless its place is another's, or the way there leads through another's. The places are made by name and as root, one after the other: a
/// link in a folder that is shown already would lead out of the run's root.
static void add(struct options *options, struct shown shown) {
    for (int i = 0; i < options->shown_count; i++) {
        const char *other = options->shown[i].target;
        if (is_at_or_below(shown.target, other) || is_at_or_below(other, shown.target)) refuse("one place below another", shown.target);
    }
    options->shown[options->shown_count++] = shown;
}

static void add_shown(struct options *options, char *text, bool writable) {
    // What root.c or bubblewrap put there themselves, or cover afterwards.
    static const char *const taken[] = {"/usr", "/lib", "/lib64", "/bin", "/tmp", "/dev", "/proc", NULL};
    char *source = split(text);
    if (!is_plain(text)) refuse("bad place", text);
    if (is_at_or_below_any(text, taken)) refuse("place of the system", text);
    add(options, (struct shown){.target = text, .source = source, .writable = writable});
}

static void add_device(struct options *options, const char *path) {
    // Links and file systems of their own, all of them root.c's or bubblewrap's.
    static const char *const taken[] = {
        "/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/core", "/dev/ptmx", "/dev/pts", "/dev/shm", NULL,
    };
    if (!is_plain(path) || strncmp(path, "/dev/", 5) != 0) refuse("bad device", path);
    if (is_at_or_below_any(path, taken)) refuse("device of the system", path);
    add(options, (struct shown){.target = path, .source = path, .device = true});
}

void options_parse(struct options *options, int count, char **values) {
    int index = 0;
    options->name = "run";
    options->environment_descriptor = -1;
    options->filter_descriptor = -1;
    // Each takes two words.
    options->shown = calloc((size_t)count / 2 + 1, sizeof *options->shown);
    if (!options->shown) refuse("no memory", NULL);
    for (; index < count && strcmp(values[index], "--") != 0; index += 2) {
        if (index + 1 >= count) refuse("option without a value", values[index]);
        const char *key = values[index];
        char *value = values[index + 1];
        if (!strcmp(key, "--name")) options->name = value;
        else if (!strcmp(key, "--cgroup-v1")) { char *parent = split(value); add_cgroup(options, value, parent); }
        else if (!strcmp(key, "--cgroup-v2")) { options->unified = true; add_cgroup(options, "all", value); }
        else if (!strcmp(key, "--system")) options->system_folder = strcmp(value, "/") ? value : "";
        else if (!strcmp(key, "--show")) add_shown(options, value, false);
        else if (!strcmp(key, "--show-writable")) add_shown(options, value, true);
        else if (!strcmp(key, "--device")) add_device(options, value);
        else if (!strcmp(key, "--uid")) options->uid = (uid_t)number(value);
        else if (!strcmp(key, "--memory-bytes")) options->memory_bytes = number(value);
        else if (!strcmp(key, "--processes")) options->process_count = number(value);
        else if (!strcmp(key, "--cpu-thousandths")) options->cpu_thousandths = number(value);
        else if (!strcmp(key, "--wall-milliseconds")) options->wall_milliseconds = number(value);
        else if (!strcmp(key, "--waiting-milliseconds")) options->waiting_milliseconds = number(value);
        else if (!strcmp(key, "--waiting-memory-bytes")) options->waiting_memory_bytes = number(value);
        else if (!strcmp(key, "--waiting-gently")) options->waits_gently = number(value) != 0;
        else if (!strcmp(key, "--cpu-seconds")) options->cpu_seconds = number(value);
        else if (!strcmp(key, "--file-bytes")) options->file_bytes = number(value);
        else if (!strcmp(key, "--environment-at")) options->environment_descriptor = (int)number(value);
        else if (!strcmp(key, "--filter-at")) options->filter_descriptor = (int)number(value);
        else if (!strcmp(key, "--open-files")) options->open_files = number(value);
        else if (!strcmp(key, "--address-space-bytes")) options->address_space_bytes = number(value);
        else refuse("unknown option", key);
    }
    if (strchr(options->name, '/') || options->name[0] == '.' || options->name[0] == 0) refuse("bad name", options->name);
    if (index >= count) refuse("missing", "-- BWRAP-ARGUMENTS -- COMMAND");
    options->bwrap_arguments = values + ++index;
    while (index < count && strcmp(values[index], "--") != 0) {
        options->bwrap_argument_count++;
        index++;
    }
    if (index + 1 >= count) refuse("missing", "-- COMMAND");
    options->command = values + index + 1;
}
