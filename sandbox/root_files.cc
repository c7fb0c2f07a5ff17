#include "sandbox/root_files.h"

#include <array>
#include <cerrno>
#include <filesystem>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/unique_fd.h"

namespace hako::sandbox {
namespace {

namespace fs = std::filesystem;

struct File {
    const char* path;
    std::string_view text;
};

constexpr std::array kFiles = {
    File{
        "etc/passwd",
        "root:x:0:0:root:/root:/usr/sbin/nologin\n"
        "sbx_user1051:x:993:993::/tmp:/usr/sbin/nologin\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    },
    File{"etc/group", "root:x:0:\nsbx_user1051:x:993:\nnogroup:x:65534:\n"},
    File{
        "etc/hosts",
        "127.0.0.1 localhost sandbox.localdomain sandbox\n"
        "::1 localhost ip6-localhost ip6-loopback\n"
    },
    File{"etc/hostname", "sandbox\n"},
    File{"etc/host.conf", "multi on\n"},
    File{
        "etc/nsswitch.conf",
        "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n"
        "protocols: files\nservices: files\nethers: files\nrpc: files\n"
    },
    File{"etc/resolv.conf", "options timeout:1 attempts:1\n"},
};

constexpr std::array kHostEntries = {
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/os-release",
    "/etc/debian_version",
    "/etc/mime.types",
    "/etc/protocols",
    "/etc/services",
    "/etc/alternatives",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/ca-certificates.conf",
    "/etc/java-17-openjdk",
    "/etc/mono",
    "/etc/python3",
    "/etc/python3.11",
    "/etc/fonts",
    "/etc/locale.alias",
    // Static copies: the sandbox has no sysfs, and runtimes count CPUs here.
    "/sys/devices/system/cpu/online",
    "/sys/devices/system/cpu/possible",
    "/sys/devices/system/cpu/present",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size",
};

Result<void> write_file(const std::string& path, std::string_view text) {
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (!fd) {
        return fail_errno("root: create file");
    }
    while (!text.empty()) {
        const ssize_t written = ::write(fd.get(), text.data(), text.size());
        if (written < 0) {
            return fail_errno("root: write file");
        }
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

Result<void> copy_file(const fs::path& source, const std::string& target) {
    const UniqueFd from(::open(source.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!from) {
        return fail_errno("root: open host file");
    }
    std::string text;
    std::array<char, 16384> buffer;
    for (;;) {
        const ssize_t got = ::read(from.get(), buffer.data(), buffer.size());
        if (got < 0) {
            return fail_errno("root: read host file");
        }
        if (got == 0) {
            return write_file(target, text);
        }
        text.append(buffer.data(), static_cast<std::size_t>(got));
    }
}

/// Copies links as links, and of files only those that everybody may read.
Result<void> copy_entry(const fs::path& source) {
    std::error_code error;
    const fs::file_status status = fs::symlink_status(source, error);
    if (error || !fs::exists(status)) {
        return {};  // this host has no such thing
    }
    const std::string target = source.relative_path().string();
    fs::create_directories(source.relative_path().parent_path(), error);
    if (error) {
        return fail(sys_error(error.value(), "root: create directory"));
    }
    if (fs::is_symlink(status)) {
        fs::copy_symlink(source, target, error);
        return error ? Result<void>(fail(sys_error(error.value(), "root: copy link")))
                     : Result<void>{};
    }
    const bool readable = (status.permissions() & fs::perms::others_read) != fs::perms::none;
    if (fs::is_regular_file(status)) {
        return readable ? copy_file(source, target) : Result<void>{};
    }
    if (!fs::is_directory(status)) {
        return {};
    }
    fs::create_directories(target, error);
    fs::directory_iterator entries(source, error);
    if (error) {
        return fail(sys_error(error.value(), "root: list host directory"));
    }
    for (const fs::directory_entry& entry : entries) {
        TRY(copy_entry(entry.path()));
    }
    return {};
}

}  // namespace

Result<void> add_root_files() {
    // create_directories goes by the umask, which is 0 while the root is built.
    const mode_t old_umask = ::umask(022);
    for (const File& file : kFiles) {
        TRY(write_file(file.path, file.text));
    }
    for (const char* source : kHostEntries) {
        TRY(copy_entry(source));
    }
    (void)::umask(old_umask);  // cannot fail
    return {};
}

}  // namespace hako::sandbox
