// System calls of Linux that Swift's Glibc module does not show: variadic ones, and headers that it leaves out.
#include <features.h>
#include <malloc.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

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

/// A descriptor that can be read once the process has ended; closed on exec. -1 and errno on failure.
static inline int auspex_pidfd_open(int process)
{
    return (int)syscall(SYS_pidfd_open, process, 0);
}

/// Whether a child has ended, without collecting it: 1 and its exit code or signal, or 0.
static inline int auspex_peek_exit(int process, int *code, int *is_signal)
{
    siginfo_t info;
    info.si_pid = 0;
    if (waitid(P_PID, (id_t)process, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
        return 0;
    *is_signal = info.si_code != CLD_EXITED;
    *code = info.si_status;
    return 1;
}

/// Lets the allocator keep up to so many freed bytes for what comes next, also those of large blocks; 0 when it refuses.
static inline int auspex_keep_freed_memory(int bytes)
{
#ifdef __GLIBC__
    // Its upper bound for the first: half a heap of a thread.
    return mallopt(M_MMAP_THRESHOLD, 32 << 20) && mallopt(M_TRIM_THRESHOLD, bytes) && mallopt(M_TOP_PAD, 1 << 20);
#else
    return 0;
#endif
}
