/* Each attack takes what it can get until its time is over and keeps it; an error only makes it try
 * again, so that none of them ever rests. */
#include "attacks.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "hako/channel.h"

enum { kChunkBytes = 65536, kFdsMax = 1024 };

static char chunk[kChunkBytes];

static struct attack_result take(struct attack_result so_far, int made) {
    if (made) {
        ++so_far.made_count;
    } else {
        so_far.last_errno = errno;
    }
    return so_far;
}

/* A process of its own that goes on where this one's descriptors end; only one goes on. Never
 * returns in the parent's copy of the work: that waits. */
static struct attack_result go_on_in_child(
    struct attack_result result, int64_t until_us, struct attack_result (*work)(int64_t until_us)
) {
    while (monotonic_us() < until_us) {
        const pid_t child = fork();
        if (child == 0) {
            for (int fd = HAKO_DOORBELL_FD + 1; fd < kFdsMax; ++fd) {
                close(fd);
            }
            (void)work(until_us);
            _exit(0); /* the answer is the parent's to give */
        }
        result = take(result, child > 0);
        while (child > 0 && monotonic_us() < until_us) {
        }
    }
    return result;
}

/* Every process forks on, for ever. */
static struct attack_result attack_forks(int64_t until_us) {
    struct attack_result result = {0, 0};
    while (monotonic_us() < until_us) {
        const pid_t child = fork();
        if (child == 0) {
            for (;;) {
                (void)!fork();
            }
        }
        result = take(result, child > 0);
    }
    return result;
}

static void* spin_for_ever(void* unused) {
    (void)unused;
    for (;;) {
        __asm__ volatile("" : : : "memory");
    }
    return NULL;
}

static struct attack_result start_threads(int64_t until_us, unsigned long count_max) {
    struct attack_result result = {0, 0};
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    while (monotonic_us() < until_us) {
        if (result.made_count < count_max) {
            pthread_t thread;
            errno = pthread_create(&thread, &small, spin_for_ever, NULL);
            result = take(result, errno == 0);
        }
    }
    return result;
}

static struct attack_result attack_threads(int64_t until_us) {
    return start_threads(until_us, ~0UL);
}

static struct attack_result attack_hog(int64_t until_us) {
    return start_threads(until_us, 3);
}

static struct attack_result attack_anonymous(int64_t until_us) {
    struct attack_result result = {0, 0};
    while (monotonic_us() < until_us) {
        char* const at = mmap(
            NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0
        );
        result = take(result, at != MAP_FAILED);
    }
    return result;
}

/* Files in /tmp: its memory is the function's own. */
static struct attack_result attack_files(int64_t until_us) {
    struct attack_result result = {0, 0};
    const int fd = open("/tmp/filler", O_CREAT | O_RDWR | O_APPEND, 0600);
    while (monotonic_us() < until_us) {
        result = take(result, write(fd, chunk, sizeof(chunk)) == (ssize_t)sizeof(chunk));
    }
    close(fd);
    return result;
}

static struct attack_result attack_inodes(int64_t until_us) {
    struct attack_result result = {0, 0};
    char path[64];
    while (monotonic_us() < until_us) {
        snprintf(path, sizeof(path), "/tmp/inode-%lu", result.made_count);
        const int fd = open(path, O_CREAT | O_WRONLY, 0600);
        result = take(result, fd >= 0);
        close(fd);
    }
    return result;
}

static struct attack_result attack_memfds(int64_t until_us) {
    struct attack_result result = {0, 0};
    const int fd = memfd_create("filler", 0);
    while (monotonic_us() < until_us) {
        result = take(result, write(fd, chunk, sizeof(chunk)) == (ssize_t)sizeof(chunk));
    }
    close(fd);
    return result;
}

/* Fills what `open_pair` opens, again and again. Nothing is ever read. */
static struct attack_result fill_pairs(
    int64_t until_us, int (*open_pair)(int fds[2]), struct attack_result (*work)(int64_t until_us)
) {
    struct attack_result result = {0, 0};
    while (monotonic_us() < until_us) {
        int fds[2];
        if (open_pair(fds) != 0) {
            result = take(result, 0);
            if (errno == EMFILE) {
                return go_on_in_child(result, until_us, work);
            }
            continue;
        }
        while (write(fds[1], chunk, sizeof(chunk)) > 0) {
            result = take(result, 1);
        }
    }
    return result;
}

static int open_pipe(int fds[2]) {
    if (pipe2(fds, O_NONBLOCK) != 0) {
        return -1;
    }
    (void)fcntl(fds[1], F_SETPIPE_SZ, 1 << 20);
    return 0;
}

static struct attack_result attack_pipes(int64_t until_us) {
    return fill_pairs(until_us, open_pipe, attack_pipes);
}

static int open_stream(int fds[2]) {
    const int bytes = 1 << 30;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0) {
        return -1;
    }
    (void)setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    return 0;
}

static struct attack_result attack_sockets(int64_t until_us) {
    return fill_pairs(until_us, open_stream, attack_sockets);
}

/* A listening socket on the sandbox's own loopback, and a connection to it that nobody reads. */
static int open_tcp(int fds[2]) {
    const int bytes = 1 << 30;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    socklen_t address_bytes = sizeof(address);
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    fds[1] = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || fds[1] < 0) {
        return -1;
    }
    (void)setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    (void)setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    if (bind(listener, (struct sockaddr*)&address, sizeof(address)) != 0 ||
        listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr*)&address, &address_bytes) != 0 ||
        connect(fds[1], (struct sockaddr*)&address, sizeof(address)) != 0) {
        close(listener);
        close(fds[1]);
        return -1;
    }
    (void)fcntl(fds[1], F_SETFL, O_NONBLOCK);
    fds[0] = listener;
    return 0;
}

static struct attack_result attack_tcp(int64_t until_us) {
    return fill_pairs(until_us, open_tcp, attack_tcp);
}

static struct attack_result attack_fds(int64_t until_us) {
    struct attack_result result = {0, 0};
    while (monotonic_us() < until_us) {
        const int fd = open("/proc/self/status", O_RDONLY);
        result = take(result, fd >= 0);
        if (fd < 0) {
            return go_on_in_child(result, until_us, attack_fds);
        }
    }
    return result;
}

static struct attack_result flood(int64_t until_us, size_t bytes) {
    struct attack_result result = {0, 0};
    memset(chunk, 'x', sizeof(chunk));
    chunk[bytes - 1] = '\n';
    while (monotonic_us() < until_us) {
        result = take(result, write(1, chunk, bytes) > 0);
    }
    return result;
}

static struct attack_result attack_log(int64_t until_us) {
    return flood(until_us, sizeof(chunk));
}

/* One byte at a time: each write may wake the engine. */
static struct attack_result attack_drip(int64_t until_us) {
    return flood(until_us, 1);
}

static struct attack_result attack_inotify(int64_t until_us) {
    struct attack_result result = {0, 0};
    int last = -1;
    char path[64];
    while (monotonic_us() < until_us) {
        const int fd = inotify_init1(IN_NONBLOCK);
        last = fd >= 0 ? fd : last;
        snprintf(path, sizeof(path), "/tmp/watched-%lu", result.made_count);
        close(open(path, O_CREAT | O_WRONLY, 0600));
        result = take(result, inotify_add_watch(last, path, IN_ALL_EVENTS) >= 0);
    }
    return result;
}

static struct attack_result attack_epoll(int64_t until_us) {
    struct attack_result result = {0, 0};
    int inner = epoll_create1(0);
    while (monotonic_us() < until_us) {
        const int outer = epoll_create1(0);
        struct epoll_event event = {.events = EPOLLIN, .data = {0}};
        result = take(result, outer >= 0 && epoll_ctl(outer, EPOLL_CTL_ADD, inner, &event) == 0);
        inner = outer >= 0 && result.made_count % 4 == 0 ? outer : inner;
    }
    return result;
}

/* Maps, touches and unmaps, and cuts one mapping into as many as the kernel lets it have. */
static struct attack_result attack_mmap(int64_t until_us) {
    enum { kBytes = 32 << 20 };
    struct attack_result result = {0, 0};
    while (monotonic_us() < until_us) {
        char* const at =
            mmap(NULL, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) {
            result = take(result, 0);
            continue;
        }
        for (size_t page = 0; page < kBytes && monotonic_us() < until_us; page += 8192) {
            at[page] = 1;
            result = take(result, mprotect(at + page, 4096, PROT_READ) == 0);
        }
        munmap(at, kBytes);
    }
    return result;
}

static void* ring_for_ever(void* until_us) {
    const uint64_t one = 1;
    while (monotonic_us() < *(int64_t*)until_us) {
        if (write(HAKO_DOORBELL_FD, &one, sizeof(one)) < 0) {
            break;
        }
    }
    return NULL;
}

static struct attack_result attack_doorbell(int64_t until_us) {
    (void)ring_for_ever(&until_us);
    return (struct attack_result){0, 0};
}

/* Answers at once; a thread goes on ringing. */
static struct attack_result attack_idlebell(int64_t until_us) {
    static int64_t until_static_us;
    until_static_us = until_us;
    pthread_t thread;
    errno = pthread_create(&thread, NULL, ring_for_ever, &until_static_us);
    return take((struct attack_result){0, 0}, errno == 0);
}

static struct attack_result attack_never(int64_t until_us) {
    while (until_us != 0) {
        pause();
    }
    return (struct attack_result){0, 0};
}

const struct attack attacks[] = {
    {"forks", attack_forks},
    {"threads", attack_threads},
    {"anonymous", attack_anonymous},
    {"files", attack_files},
    {"inodes", attack_inodes},
    {"memfds", attack_memfds},
    {"sockets", attack_sockets},
    {"tcp", attack_tcp},
    {"pipes", attack_pipes},
    {"fds", attack_fds},
    {"log", attack_log},
    {"drip", attack_drip},
    {"hog", attack_hog},
    {"inotify", attack_inotify},
    {"epoll", attack_epoll},
    {"mmap", attack_mmap},
    {"never", attack_never},
    {"doorbell", attack_doorbell},
    {"idlebell", attack_idlebell},
    {NULL, NULL},
};
