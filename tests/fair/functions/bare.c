/* The floor of the attack table: neighbour and attacker as bare processes in bare cgroups, without
 * anything of hako.
 *
 *   bare UID TASKS... -- echo FD          answers each byte on FD
 *   bare UID TASKS... -- attack NAME MS   one attack, as a function has it
 *
 * TASKS are files to which "0" is written to join a cgroup. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attacks.h"
#include "hako/channel.h"

int64_t monotonic_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void check(int failed, const char* what) {
    if (failed) {
        fprintf(stderr, "bare: %s: %s\n", what, strerror(errno));
        _exit(2);
    }
}

static void join(const char* tasks) {
    const int fd = open(tasks, O_WRONLY | O_CLOEXEC);
    check(fd < 0 || write(fd, "0", 1) != 1, tasks);
    close(fd);
}

/* A /tmp of its own and a pid namespace, so that it ends as a whole; a user of its own with a
 * sandbox's limits. */
static void confine(unsigned uid) {
    const struct rlimit both = {.rlim_cur = 1024, .rlim_max = 1024};
    check(unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET) != 0, "unshare");
    const pid_t child = fork();
    check(child < 0, "fork");
    if (child > 0) {
        int status = 0;
        check(waitpid(child, &status, 0) != child, "wait");
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
    }
    check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0, "private mounts");
    check(mount("tmpfs", "/tmp", "tmpfs", 0, "size=512m,nr_inodes=131072,mode=1777") != 0, "/tmp");
    check(setrlimit(RLIMIT_NOFILE, &both) != 0 || setrlimit(RLIMIT_NPROC, &both) != 0, "limits");
    check(setgroups(0, NULL) != 0 || setgid(uid) != 0 || setuid(uid) != 0, "user");
    check(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0, "pdeathsig");
}

static int echo(int fd) {
    char byte = 0;
    while (read(fd, &byte, 1) == 1 && write(fd, &byte, 1) == 1) {
    }
    return 0;
}

static int assail(const char* name, int64_t ms) {
    const int null_fd = open("/dev/null", O_WRONLY);
    const int bell = eventfd(0, 0);
    check(null_fd < 0 || bell < 0, "descriptors");
    check(dup2(null_fd, 1) < 0 || dup2(bell, HAKO_DOORBELL_FD) < 0, "dup2");
    for (const struct attack* each = attacks; each->name != NULL; ++each) {
        if (strcmp(each->name, name) == 0) {
            (void)each->run(monotonic_us() + ms * 1000); /* how far it came is not asked */
            return 0;
        }
    }
    check(1, "no attack of that name");
    return 2;
}

int main(int argc, char** argv) {
    int at = 2;
    while (at < argc && strcmp(argv[at], "--") != 0) {
        join(argv[at++]);
    }
    ++at;
    check(at + 1 >= argc, "usage");
    check(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0, "pdeathsig");
    if (strcmp(argv[at], "echo") == 0) {
        return echo(atoi(argv[at + 1]));
    }
    check(at + 2 >= argc, "usage");
    confine((unsigned)strtoul(argv[1], NULL, 10));
    return assail(argv[at + 1], atoll(argv[at + 2]));
}
