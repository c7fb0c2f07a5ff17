#include "sandbox/confine.h"

#include <cerrno>

#include <linux/capability.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace hako::sandbox {

int drop_capabilities() noexcept {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
    return ::syscall(SYS_capset, &header, data) == 0 ? 0 : errno;
}

int drop_bounding_set() noexcept {
    // Ends at the first number the kernel does not know: it may know more than our headers.
    for (unsigned long capability = 0; capability < 64; ++capability) {
        if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
            return errno == EINVAL && capability > CAP_SETPCAP ? 0 : errno;
        }
    }
    return 0;
}

int lock_securebits() noexcept {
    constexpr unsigned long kBits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                                    SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                                    SECBIT_NO_CAP_AMBIENT_RAISE |
                                    SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    return ::prctl(PR_SET_SECUREBITS, kBits, 0, 0, 0) == 0 ? 0 : errno;
}

int install_filter(std::span<const sock_filter> filter, bool all_threads) noexcept {
    sock_fprog program{
        .len = static_cast<unsigned short>(filter.size()),
        .filter = const_cast<sock_filter*>(filter.data()),
    };
    const unsigned flags = all_threads ? SECCOMP_FILTER_FLAG_TSYNC : 0;
    const long rc = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    if (rc > 0) {
        return ESRCH;  // TSYNC: the id of a thread that could not follow
    }
    return rc == 0 ? 0 : errno;
}

}  // namespace hako::sandbox
