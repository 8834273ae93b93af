// What running a child needs of Linux and Swift's Glibc module does not show: calls that glibc declares for _GNU_SOURCE only.
// Declared by hand instead of by defining _GNU_SOURCE, which would give structures a second shape beside the one of other modules.
#include <features.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

extern int memfd_create(const char *name, unsigned int flags);
extern int pipe2(int descriptors[2], int flags);
extern int syncfs(int descriptor);

/// A file in memory that is not passed on by exec and can be sealed.
static inline int auspex_memory_file(const char *name)
{
    return memfd_create(name, 0x0001U | 0x0002U);  // MFD_CLOEXEC | MFD_ALLOW_SEALING
}

/// Makes a memory file unchangeable for everybody who ever gets a descriptor of it.
static inline int auspex_seal(int descriptor)
{
    return fcntl(descriptor, 1033, 0x0001 | 0x0002 | 0x0004 | 0x0008);  // F_ADD_SEALS: seal, shrink, grow, write
}

/// A pipe whose ends are closed on exec from the moment they exist: between pipe() and fcntl() another thread could spawn a child.
static inline int auspex_pipe(int descriptors[2])
{
    return pipe2(descriptors, O_CLOEXEC);
}

/// Two connected sockets whose messages arrive whole, closed on exec: no length to lie about and no half message to wait for.
static inline int auspex_socket_pair(int sockets[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets);
}

/// Sends one message, with a descriptor unless that is -1; never waits.
static inline ssize_t auspex_send(int socket, const void *bytes, size_t count, int descriptor)
{
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = count};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (descriptor >= 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.space;
        message.msg_controllen = sizeof control.space;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
    }
    return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/// Takes one message and gives its length, which is greater than `capacity` when it was cut; never waits. Descriptors that came with it are
/// closed by the kernel, since there is no room for them.
static inline ssize_t auspex_receive(int socket, void *bytes, size_t capacity)
{
    return recv(socket, bytes, capacity, MSG_DONTWAIT | MSG_TRUNC);
}

extern int sched_getaffinity(pid_t process, size_t bytes, void *set);

/// The processors that this process may run on; 0 when the kernel does not say.
static inline int auspex_allowed_processors(void)
{
    unsigned char set[1024] = {0};
    int count = 0;
    if (sched_getaffinity(0, sizeof set, set) < 0) return 0;
    for (size_t i = 0; i < sizeof set; i++) count += __builtin_popcount(set[i]);
    return count;
}

extern long syscall(long number, ...);
extern int prctl(int operation, ...);

/// The version of Landlock's interface; 0 and less when there is none.
static inline int auspex_landlock_version(void)
{
    return (int)syscall(444, (void *)0, (size_t)0, 1U);  // landlock_create_ruleset, LANDLOCK_CREATE_RULESET_VERSION
}

/// 1 when the kernel has seccomp filters: with no program it says EFAULT, and EINVAL without the feature.
static inline int auspex_has_seccomp_filter(void)
{
    return prctl(22, 2UL, (void *)0, 0UL, 0UL) == -1 && errno == EFAULT;  // PR_SET_SECCOMP, SECCOMP_MODE_FILTER
}

/// A socket for a connection, closed on exec, whose calls do not wait.
static inline int auspex_stream_socket(int family)
{
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/// The descriptor that the next message carries, closed on exec; -1 with errno (0 at the end) when there is none.
static inline int auspex_receive_descriptor(int socket)
{
    char text[8];
    union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control;
    struct iovec part = {.iov_base = text, .iov_len = sizeof text};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t length = recvmsg(socket, &message, 0x40000000);  // MSG_CMSG_CLOEXEC
    if (length < 0) return -1;
    struct cmsghdr *first = CMSG_FIRSTHDR(&message);
    if (length == 0 || !first || first->cmsg_level != SOL_SOCKET || first->cmsg_type != SCM_RIGHTS || first->cmsg_len != CMSG_LEN(sizeof(int))) {
        errno = 0;
        return -1;
    }
    int descriptor;
    memcpy(&descriptor, CMSG_DATA(first), sizeof descriptor);
    return descriptor;
}
