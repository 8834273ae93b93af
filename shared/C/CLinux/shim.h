// System calls of Linux that Swift's Glibc module does not show: variadic ones, and headers that it leaves out.
#include <features.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

/// An event descriptor that neither blocks nor survives exec.
static inline int auspex_eventfd(void)
{
    return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

/// Names the calling thread (15 characters), as `top -H` shows it.
static inline int auspex_name_thread(const char *name)
{
    return prctl(PR_SET_NAME, name, 0, 0, 0);
}
