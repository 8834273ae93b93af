// What running a child needs of Linux and Swift's Glibc module does not show: calls that glibc declares for _GNU_SOURCE only.
// Declared by hand instead of by defining _GNU_SOURCE, which would give structures a second shape beside the one of other modules.
#include <features.h>
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
