#include "tests/fuzz/fuzz.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

#include "engine/base/ensure.h"
#include "engine/base/unique_fd.h"

namespace hako::fuzz {
namespace {

namespace fs = std::filesystem;

/// Goes with the process; a forked child that ends early leaves it alone.
struct ScratchDir {
    ScratchDir() {
        path = fs::is_directory("/dev/shm") ? "/dev/shm" : "/tmp";
        path += "/hako-fuzz-XXXXXX";
        ENSURE(::mkdtemp(path.data()) != nullptr, "a scratch directory can be made");
    }
    ScratchDir(const ScratchDir&) = delete;
    ScratchDir& operator=(const ScratchDir&) = delete;
    ~ScratchDir() {
        if (::getpid() == owner) {
            empty_directory(path);
            std::error_code ignored;  // a leftover in /dev/shm is not the target's failure
            fs::remove(path, ignored);
        }
    }
    std::string path;
    pid_t owner = ::getpid();
};

}  // namespace

bool lies_in(std::string_view part, std::string_view whole) noexcept {
    return part.empty() || (part.data() >= whole.data() &&
                            part.data() + part.size() <= whole.data() + whole.size());
}

void touch(std::string_view bytes) noexcept {
    unsigned char sum = 0;
    for (const char byte : bytes) {
        sum = static_cast<unsigned char>(sum + static_cast<unsigned char>(byte));
    }
    // The compiler must not see that nobody wants the sum.
    volatile unsigned char sink = sum;
    (void)sink;
}

const std::string& scratch_dir() {
    static const ScratchDir dir;
    return dir.path;
}

void empty_directory(const std::string& path) {
    std::error_code error;
    // Packages are sealed with read-only directories: nobody but root could remove what is in them.
    for (auto at = fs::recursive_directory_iterator(path, error);
         !error && at != fs::recursive_directory_iterator();
         at.increment(error)) {
        if (at->is_directory(error) && !at->is_symlink(error)) {
            fs::permissions(at->path(), fs::perms::owner_all, error);
        }
    }
    for (const fs::directory_entry& entry : fs::directory_iterator(path, error)) {
        fs::remove_all(entry.path(), error);
    }
}

void write_file(const std::string& path, std::string_view content) {
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    ENSURE(static_cast<bool>(fd), "a file can be made in the scratch directory");
    const ssize_t put = ::write(fd.get(), content.data(), content.size());
    ENSURE(put == static_cast<ssize_t>(content.size()), "the scratch directory has room");
}

}  // namespace hako::fuzz
