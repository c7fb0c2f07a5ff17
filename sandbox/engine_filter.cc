#include "sandbox/engine_filter.h"

#include <cerrno>

#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine/base/id_map.h"
#include "sandbox/confine.h"

namespace hako::sandbox {
namespace {

constexpr sock_filter kEngineFilter[] = {
#include "sandbox/engine_filter.inc"
};

Result<void> drop_ids(uid_t uid, gid_t gid) {
    if (::geteuid() != 0) {
        return {};  // started without root: there is nothing to change
    }
    const bool keeps_ids = uid == 0 || gid == 0;
    if (keeps_ids && !is_in_user_namespace()) {
        return fail(Errc::kInvalid, "confine: the engine's uid and gid must not be root's");
    }
    if (!keeps_ids && ::setgroups(0, nullptr) != 0) {
        return fail_errno("confine: setgroups");
    }
    if (const int error = drop_bounding_set(); error != 0) {
        return fail(sys_error(error, "confine: bounding set"));
    }
    if (const int error = lock_securebits(); error != 0) {
        return fail(sys_error(error, "confine: securebits"));
    }
    if (keeps_ids) {
        return {};  // root of a user namespace is the ordinary user who made it
    }
    if (::setresgid(gid, gid, gid) != 0) {
        return fail_errno("confine: setresgid");
    }
    return ::setresuid(uid, uid, uid) == 0 ? Result<void>{} : fail_errno("confine: setresuid");
}

}  // namespace

std::span<const sock_filter> engine_filter() noexcept {
    return kEngineFilter;
}

Result<void> confine_engine(uid_t uid, gid_t gid) {
    const rlimit no_core{.rlim_cur = 0, .rlim_max = 0};
    if (::setrlimit(RLIMIT_CORE, &no_core) != 0) {
        return fail_errno("confine: core limit");
    }
    TRY(drop_ids(uid, gid));
    if (const int error = drop_capabilities(); error != 0) {
        return fail(sys_error(error, "confine: capabilities"));
    }
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return fail_errno("confine: no_new_privs");
    }
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return fail_errno("confine: dumpable");
    }
    if (const int error = install_filter(kEngineFilter, true); error != 0) {
        return fail(sys_error(error, "confine: seccomp"));
    }
    return {};
}

}  // namespace hako::sandbox
