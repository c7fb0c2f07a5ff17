#include "engine/observe/log_writer.h"

#include <array>
#include <cerrno>
#include <span>
#include <string>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <fmt/core.h>

#include "engine/base/unique_fd.h"
#include "engine/meter/time_text.h"

namespace hako::observe {
namespace {

Result<UniqueFd> open_function_directory(int directory_fd, const std::string& function) {
    constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    UniqueFd fd(::openat(directory_fd, function.c_str(), kFlags));
    if (!fd && errno == ENOENT) {
        if (::mkdirat(directory_fd, function.c_str(), 0700) < 0 && errno != EEXIST) {
            return fail_errno("make function log directory");
        }
        fd.reset(::openat(directory_fd, function.c_str(), kFlags));
    }
    if (!fd) {
        return fail_errno("open function log directory");
    }
    return fd;
}

struct OpenLog {
    UniqueFd fd;
    std::uint64_t file_bytes = 0;
    bool line_open = false;  // the last byte is not a newline
};

Result<OpenLog> open_log(int function_fd, const std::string& name) {
    OpenLog log;
    log.fd.reset(::openat(
        function_fd, name.c_str(), O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600
    ));
    if (!log.fd) {
        return fail_errno("open function log");
    }
    struct stat status = {};
    if (::fstat(log.fd.get(), &status) < 0) {
        return fail_errno("stat function log");
    }
    log.file_bytes = static_cast<std::uint64_t>(status.st_size);
    if (log.file_bytes > 0) {
        char last = '\0';
        if (::pread(log.fd.get(), &last, 1, status.st_size - 1) < 0) {
            return fail_errno("read function log");
        }
        log.line_open = last != '\n';
    }
    return log;
}

/// .log becomes .log.1, .log.1 becomes .log.2 and so on; the oldest is replaced.
Result<void> rotate(int function_fd, const std::string& name, std::uint32_t rotations_max) {
    for (std::uint32_t i = rotations_max; i > 0; --i) {
        const std::string from = i == 1 ? name : fmt::format("{}.{}", name, i - 1);
        const std::string to = fmt::format("{}.{}", name, i);
        if (::renameat(function_fd, from.c_str(), function_fd, to.c_str()) < 0 && errno != ENOENT) {
            return fail_errno("rotate function log");
        }
    }
    if (rotations_max == 0 && ::unlinkat(function_fd, name.c_str(), 0) < 0) {
        return fail_errno("rotate function log");
    }
    return {};
}

/// Writes all of `parts`; returns the bytes that were written before the first failure.
std::size_t write_parts(int fd, std::span<iovec> parts, int& failed_errno) {
    std::size_t written_bytes = 0;
    failed_errno = 0;
    while (true) {
        while (!parts.empty() && parts.front().iov_len == 0) {
            parts = parts.subspan(1);
        }
        if (parts.empty()) {
            break;
        }
        const ssize_t put = ::writev(fd, parts.data(), static_cast<int>(parts.size()));
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            failed_errno = put < 0 ? errno : EIO;
            break;
        }
        written_bytes += static_cast<std::size_t>(put);
        auto done_bytes = static_cast<std::size_t>(put);
        while (!parts.empty() && done_bytes >= parts.front().iov_len) {
            done_bytes -= parts.front().iov_len;
            parts = parts.subspan(1);
        }
        if (!parts.empty()) {
            parts.front().iov_base = static_cast<char*>(parts.front().iov_base) + done_bytes;
            parts.front().iov_len -= done_bytes;
        }
    }
    return written_bytes;
}

iovec part_of(std::string_view text) {
    // writev takes a pointer to non-const but only reads.
    return {.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()};
}

LogWritten failure(Error error) {
    return LogWritten{.text_bytes = 0, .marker_written = false, .failed = true, .error = error};
}

Result<OpenLog> open_for_writing(const LogPlace& place, std::size_t wanted_bytes) {
    TRY_ASSIGN(
        const UniqueFd function_fd,
        open_function_directory(place.directory_fd, std::string(place.function))
    );
    std::array<char, meter::kDateBytes> date;
    meter::write_date(date.data(), place.day, '-');
    const std::string name = std::string(date.data(), date.size()) + ".log";
    TRY_ASSIGN(OpenLog log, open_log(function_fd.get(), name));
    if (log.file_bytes > 0 && log.file_bytes + wanted_bytes > place.file_bytes_max) {
        TRY(rotate(function_fd.get(), name, place.rotations_max));
        TRY_ASSIGN(log, open_log(function_fd.get(), name));
    }
    return log;
}

}  // namespace

LogWritten write_log(const LogPlace& place, std::uint64_t dropped_bytes, std::string_view text) {
    if (dropped_bytes == 0 && text.empty()) {
        return {};  // everything was dropped behind it: the next batch has the marker
    }
    auto log = open_for_writing(place, text.size());
    if (!log) {
        return failure(log.error());
    }
    std::string head = log->line_open ? "\n" : "";
    if (dropped_bytes > 0) {
        head += fmt::format("[hako: {} bytes of log dropped]\n", dropped_bytes);
    }
    std::array<iovec, 2> parts = {part_of(head), part_of(text)};
    int failed_errno = 0;
    const std::size_t put_bytes = write_parts(log->fd.get(), parts, failed_errno);
    LogWritten written;
    written.marker_written = dropped_bytes > 0 && put_bytes >= head.size();
    written.text_bytes = put_bytes > head.size() ? put_bytes - head.size() : 0;
    if (failed_errno != 0) {
        written.failed = true;
        written.error = sys_error(failed_errno, "write function log");
    }
    return written;
}

Result<std::uint32_t> remove_logs_before(
    int directory_fd, const char* function, std::int64_t day_first
) {
    UniqueFd fd(::openat(directory_fd, function, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) {
        return errno == ENOTDIR || errno == ELOOP ? Result<std::uint32_t>(0)  // not one of ours
                                                  : fail_errno("open function log directory");
    }
    DIR* directory = ::fdopendir(fd.get());
    if (directory == nullptr) {
        return fail_errno("read function log directory");
    }
    const int function_fd = fd.release();  // closedir closes it
    std::uint32_t removed_count = 0;
    while (const dirent* entry = ::readdir(directory)) {
        const std::string_view name = entry->d_name;
        if (name.size() < meter::kDateBytes + 4 ||
            !name.substr(meter::kDateBytes).starts_with(".log")) {
            continue;
        }
        const std::int64_t day = meter::parse_date(name.substr(0, meter::kDateBytes));
        if (day >= 0 && day < day_first && ::unlinkat(function_fd, entry->d_name, 0) == 0) {
            ++removed_count;
        }
    }
    (void)::closedir(directory);  // nothing was written through it
    return removed_count;
}

}  // namespace hako::observe
