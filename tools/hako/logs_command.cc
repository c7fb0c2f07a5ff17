#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>
#include <CLI/App.hpp>

#include "engine/base/unique_fd.h"
#include "tools/hako/output.h"

// Logs are files STATE/log/FUNCTION/YYYY-MM-DD.log (UTC), with .log.1 and up for what was rotated
// away that day, .log.1 the newest of them.
namespace hako::cli {
namespace {

namespace fs = std::filesystem;

struct LogsArguments {
    std::string name;
    std::string state = default_state_directory();
    std::string day;
    bool all = false;
    bool follow = false;
};

Failure file_failure(const std::string& path, int sys_errno) {
    return {Exit::kUsage, fmt::format("{}: {}", path, std::strerror(sys_errno))};
}

/// A log file's name taken apart: "2017-12-14.log.2" is day 2017-12-14, rotation 2.
struct LogName {
    std::string day;
    unsigned rotation = 0;
    std::string file;
};

bool parse_name(const std::string& file, LogName& name) {
    constexpr std::size_t kDayBytes = 10;
    const std::string_view rest = std::string_view(file).substr(std::min(kDayBytes, file.size()));
    if (!rest.starts_with(".log")) {
        return false;
    }
    name = {file.substr(0, kDayBytes), 0, file};
    if (rest.size() > 5) {
        name.rotation =
            static_cast<unsigned>(std::strtoul(file.c_str() + kDayBytes + 5, nullptr, 10));
    }
    return true;
}

/// Oldest first: by day, then the highest rotation first.
std::vector<LogName> list_logs(const fs::path& folder) {
    std::vector<LogName> names;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
        LogName name;
        if (parse_name(entry.path().filename().string(), name)) {
            names.push_back(name);
        }
    }
    if (error) {
        throw Failure(
            Exit::kUsage,
            fmt::format("no log of this function in {} ({})", folder.string(), error.message())
        );
    }
    std::ranges::sort(names, [](const LogName& left, const LogName& right) {
        return left.day != right.day ? left.day < right.day : left.rotation > right.rotation;
    });
    return names;
}

/// Prints what `fd` has from its present offset on.
void print_rest(int fd, const std::string& path) {
    std::array<char, 65536> block;
    for (;;) {
        const ssize_t bytes = ::read(fd, block.data(), block.size());
        if (bytes < 0 && errno == EINTR) {
            continue;
        }
        if (bytes < 0) {
            throw file_failure(path, errno);
        }
        if (bytes == 0) {
            return;
        }
        write_out({block.data(), static_cast<std::size_t>(bytes)});
    }
}

UniqueFd open_log(const std::string& path) {
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) {
        throw file_failure(path, errno);
    }
    return fd;
}

/// Follows the newest log: through rotation (the name gets a new file) and midnight (a new name).
class Follower {
public:
    explicit Follower(fs::path folder) : folder_(std::move(folder)) {
        inotify_.reset(::inotify_init1(IN_CLOEXEC));
        constexpr std::uint32_t kEvents = IN_MODIFY | IN_CREATE | IN_MOVED_TO;
        if (!inotify_ || ::inotify_add_watch(inotify_.get(), folder_.c_str(), kEvents) < 0) {
            throw file_failure(folder_.string(), errno);
        }
    }

    /// From where printing goes on. Call it right after the file was printed.
    void start(const std::string& path, UniqueFd fd) {
        path_ = path;
        fd_ = std::move(fd);
    }

    /// Until the process ends or output fails.
    [[noreturn]] void run() {
        for (;;) {
            pump();
            std::array<char, 4096> events;
            if (::read(inotify_.get(), events.data(), events.size()) < 0 && errno != EINTR) {
                throw file_failure("inotify", errno);
            }
        }
    }

private:
    void pump() {
        if (fd_) {
            print_rest(fd_.get(), path_);
        }
        const auto names = list_logs(folder_);
        if (names.empty()) {
            return;
        }
        const std::string newest = (folder_ / names.back().file).string();
        struct stat named{};
        struct stat open{};
        if (::stat(newest.c_str(), &named) != 0) {
            return;  // being rotated: the file that takes its place is another event
        }
        const bool is_open = fd_ && ::fstat(fd_.get(), &open) == 0 && open.st_ino == named.st_ino;
        if (!is_open) {
            start(newest, open_log(newest));
            print_rest(fd_.get(), path_);
        }
    }

    fs::path folder_;
    UniqueFd inotify_;
    std::string path_;
    UniqueFd fd_;
};

Exit logs(const LogsArguments& arguments) {
    if (arguments.name.find('/') != std::string::npos || arguments.name.starts_with('.')) {
        throw Failure(Exit::kUsage, "name: must be the plain name of a function");
    }
    const fs::path folder = fs::path(arguments.state) / "log" / arguments.name;
    std::vector<LogName> names = list_logs(folder);
    if (names.empty()) {
        throw Failure(Exit::kUsage, fmt::format("no log in {}", folder.string()));
    }
    const std::string day = arguments.day.empty() ? names.back().day : arguments.day;
    if (!arguments.all) {
        std::erase_if(names, [&day](const LogName& name) { return name.day != day; });
    }
    if (names.empty()) {
        throw Failure(Exit::kUsage, fmt::format("--day: no log of {} in {}", day, folder.string()));
    }
    std::unique_ptr<Follower> follower;
    if (arguments.follow) {
        follower = std::make_unique<Follower>(folder);  // before reading, so that nothing is missed
    }
    for (const LogName& name : names) {
        const std::string path = (folder / name.file).string();
        UniqueFd fd = open_log(path);
        print_rest(fd.get(), path);
        if (follower) {
            follower->start(path, std::move(fd));
        }
    }
    if (follower) {
        follower->run();
    }
    return Exit::kOk;
}

}  // namespace

void add_logs_command(CLI::App& root, Context& context) {
    CLI::App* command =
        root.add_subcommand("logs", "Print a function's log from the state directory");
    auto arguments = std::make_shared<LogsArguments>();
    command->add_option("name", arguments->name, "Name of the function")->required();
    command->add_option("--state", arguments->state, "State directory of the engine")
        ->type_name("DIR")
        ->capture_default_str();
    CLI::Option* day =
        command->add_option("--day", arguments->day, "This day (UTC), not the newest")
            ->type_name("YYYY-MM-DD");
    command->add_flag("--all", arguments->all, "All days")->excludes(day);
    command->add_flag("--follow,-f", arguments->follow, "Go on with what is written from now on")
        ->excludes(day);
    command->callback([&context, arguments]() {
        context.run = [arguments]() { return logs(*arguments); };
    });
}

}  // namespace hako::cli
