#include "sandbox/record.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <span>
#include <utility>

#include <fcntl.h>
#include <hako/channel.h>
#include <linux/futex.h>
#include <linux/memfd.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/ensure.h"
#include "sandbox/syscalls.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U  // Linux 6.3
#endif

namespace hako::sandbox {
namespace {

UniqueFd make_memfd() {
    constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    const int fd = ::memfd_create("hako-channel", kFlags | MFD_NOEXEC_SEAL);
    return UniqueFd(fd >= 0 || errno != EINVAL ? fd : ::memfd_create("hako-channel", kFlags));
}

Result<void> make_channel(Record& record) {
    UniqueFd fd = make_memfd();
    if (!fd || ::ftruncate(fd.get(), HAKO_CHANNEL_BYTES) != 0) {
        return fail_errno("memfd");
    }
    constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    if (::fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) {
        return fail_errno("seal memfd");
    }
    TRY_ASSIGN(record.header, Mapping::make_shared(fd.get(), HAKO_CHANNEL_HEADER_BYTES));
    auto* header = reinterpret_cast<hako_channel*>(record.header.data());
    header->magic = HAKO_CHANNEL_MAGIC;
    header->version = HAKO_CHANNEL_VERSION;
    record.channel = std::move(fd);
    // Blocking, because the engine reads it through io_uring.
    record.doorbell.reset(::eventfd(0, EFD_CLOEXEC));
    record.report.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    return record.doorbell && record.report ? Result<void>{} : fail_errno("eventfd");
}

Result<void> make_log_pipe(Record& record, const IdPlan& ids) {
    std::array<int, 2> fds{};
    if (::pipe2(fds.data(), O_CLOEXEC) != 0) {
        return fail_errno("pipe");
    }
    record.log_read.reset(fds[0]);
    record.log_write.reset(fds[1]);
    // The group may open it again by /dev/stdout and /dev/stderr, to write: an owner could also
    // open the other end and take its log lines away from the engine. With one id for all the
    // worker is the owner, whom the group's bits are not for.
    constexpr uid_t kKeepOwner = -1U;
    const gid_t group = ids.worker(record.slot);
    const mode_t mode = ids.is_shared ? S_IWUSR : S_IWGRP;
    if (::fchown(fds[1], kKeepOwner, group) != 0 || ::fchmod(fds[1], mode) != 0 ||
        ::fcntl(fds[0], F_SETFL, O_NONBLOCK) != 0) {
        return fail_errno("log pipe");
    }
    return {};
}

/// A detached read-only mount of a package (code or layers), with names looked up by the engine's
/// files only as one plain component: the engine owns that directory and may be compromised, so no
/// links.
Result<UniqueFd> open_package(int code_dir, std::span<const char, spawner::kCodeIdBytes> id) {
    std::array<char, spawner::kCodeIdBytes + 1> name{};
    std::ranges::copy(id, name.begin());
    constexpr int kFlags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    const UniqueFd dir(::openat(code_dir, name.data(), kFlags));
    if (!dir) {
        return fail_errno("open package");
    }
    UniqueFd tree(sys::open_tree(dir.get(), "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)
    );
    constexpr std::uint64_t kAttributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    if (!tree || sys::mount_setattr(tree.get(), kAttributes) != 0) {
        return fail_errno("clone package mount");
    }
    return tree;
}

int resize_tmp(std::uint32_t tmp_mib) {
    if (tmp_mib == spawner::kTmpMibMin) {
        return 0;
    }
    std::array<char, 64> options;
    std::snprintf(options.data(), options.size(), "size=%um,nr_inodes=131072,mode=1777", tmp_mib);
    constexpr unsigned long kFlags = MS_REMOUNT | MS_NOSUID | MS_NODEV;
    return ::mount("tmpfs", "/tmp", "tmpfs", kFlags, options.data()) == 0 ? 0 : errno;
}

/// What a sandbox is given, as detached mounts.
struct Packages {
    UniqueFd code;
    UniqueFd layers;  // empty: there are none
};

/// Inside the sandbox's mount namespace, in which nothing but our own code has run yet.
StepError mount_inside(const Record& record, const Packages& packages, std::uint32_t tmp_mib) {
    if (::setns(record.pidfd.get(), CLONE_NEWNS) != 0) {
        return {.step = Step::kEnterMounts, .sys_errno = errno};
    }
    if (sys::move_mount(packages.code.get(), "/var/task") != 0) {
        return {.step = Step::kMountCode, .sys_errno = errno};
    }
    if (packages.layers && sys::move_mount(packages.layers.get(), "/opt") != 0) {
        return {.step = Step::kMountLayers, .sys_errno = errno};
    }
    if (const int error = resize_tmp(tmp_mib); error != 0) {
        return {.step = Step::kResizeTmp, .sys_errno = error};
    }
    return {};
}

void announce_code(const Record& record) {
    auto* header = reinterpret_cast<hako_channel*>(record.header.data());
    std::atomic_ref(header->code_mounted).store(1, std::memory_order_release);
    ::syscall(SYS_futex, &header->code_mounted, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace

void Record::clear_resources() noexcept {
    pidfd.reset();
    report.reset();
    net.reset();
    log_write.reset();
    channel.reset();
    doorbell.reset();
    log_read.reset();
    header = Mapping();
    report_value = 0;
    zygote_index = UINT32_MAX;
}

StepError make_resources(Record& record, const CgroupTree& tree, const IdPlan& ids) {
    auto cgroup = tree.make(record.slot);
    if (!cgroup) {
        return {.step = Step::kMakeCgroup, .sys_errno = cgroup.error().sys_errno};
    }
    record.cgroup = std::move(*cgroup);
    if (auto made = make_channel(record); !made) {
        return {.step = Step::kMakeChannel, .sys_errno = made.error().sys_errno};
    }
    if (auto made = make_log_pipe(record, ids); !made) {
        return {.step = Step::kMakePipe, .sys_errno = made.error().sys_errno};
    }
    return {};
}

StepError specialise(
    Record& record, const spawner::Acquire& request, int code_dir, int own_mounts
) {
    auto code = open_package(code_dir, request.code_id);
    if (!code) {
        return {.step = Step::kOpenCode, .sys_errno = code.error().sys_errno};
    }
    Packages packages{.code = *std::move(code), .layers = {}};
    if (spawner::has_layers(request)) {
        auto layers = open_package(code_dir, request.layers_id);
        if (!layers) {
            return {.step = Step::kOpenLayers, .sys_errno = layers.error().sys_errno};
        }
        packages.layers = *std::move(layers);
    }
    const StepError mounted = mount_inside(record, packages, request.tmp_mib);
    // Nothing can go on in a foreign mount namespace.
    ENSURE(::setns(own_mounts, CLONE_NEWNS) == 0, "could not leave a sandbox's mount namespace");
    if (mounted.step != Step::kNone) {
        return mounted;
    }
    if (auto limited = record.cgroup.set_limits(request.memory_mib); !limited) {
        return {.step = Step::kSetLimits, .sys_errno = limited.error().sys_errno};
    }
    announce_code(record);
    return {};
}

}  // namespace hako::sandbox
