#include "tests/sandbox/probe.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/escape/attempts.h"

namespace hako::sandbox::testing {
namespace {

std::string errno_text() {
    return std::string("errno ") + strerrorname_np(errno);
}

std::string cat(const std::string& path) {
    std::ifstream file(path);
    if (!file) {
        return errno_text();
    }
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

std::string list(const std::string& path) {
    std::error_code error;
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
        names.push_back(entry.path().filename());
    }
    std::ranges::sort(names);
    std::string text;
    for (const std::string& name : names) {
        text += name + "\n";
    }
    return error ? "errno " + std::string(strerrorname_np(error.value())) : text;
}

/// Number and target of every open descriptor but the one that lists them.
std::string list_fds(const std::string&) {
    std::string text;
    for (int fd = 0; fd < 1024; ++fd) {
        if (::fcntl(fd, F_GETFD) >= 0) {
            std::string target(256, '\0');
            const std::string path = "/proc/self/fd/" + std::to_string(fd);
            const ssize_t got = ::readlink(path.c_str(), target.data(), target.size());
            target.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
            text += std::to_string(fd) + " " + target.substr(0, target.find(':')) + "\n";
        }
    }
    return text;
}

std::string allocate(const std::string& mib) {
    const std::size_t bytes = std::strtoul(mib.c_str(), nullptr, 10) << 20U;
    void* memory =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return errno_text();
    }
    for (std::size_t at = 0; at < bytes; at += 4096) {
        static_cast<volatile char*>(memory)[at] = 1;
    }
    return "ok";
}

/// Children that stay; answers how many there could be.
std::string fork_many(const std::string& count) {
    std::vector<pid_t> children;
    for (long i = std::strtol(count.c_str(), nullptr, 10); i > 0; --i) {
        const pid_t pid = ::fork();
        if (pid == 0) {
            ::pause();
            ::_exit(0);
        }
        if (pid < 0) {
            break;
        }
        children.push_back(pid);
    }
    const std::string failed = errno_text();
    for (const pid_t pid : children) {
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
    }
    return std::to_string(children.size()) + " " + failed;
}

std::string fill_tmp(const std::string& mib) {
    const int fd = ::open("/tmp/fill", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const std::vector<char> block(1 << 20, 'x');
    std::string answer = "ok";
    for (long i = std::strtol(mib.c_str(), nullptr, 10); i > 0; --i) {
        if (::write(fd, block.data(), block.size()) != static_cast<ssize_t>(block.size())) {
            answer = errno_text();
            break;
        }
    }
    ::close(fd);
    ::unlink("/tmp/fill");
    return answer;
}

std::string shell(const std::string& text) {
    FILE* pipe = ::popen(("(" + text + ") 2>&1").c_str(), "r");
    if (pipe == nullptr) {
        return errno_text();
    }
    std::string output;
    char buffer[4096];
    while (std::fgets(buffer, sizeof(buffer), pipe) != nullptr) {
        output += buffer;
    }
    return output + "status " + std::to_string(::pclose(pipe));
}

std::string tmp_size(const std::string& path) {
    struct statvfs info{};
    if (::statvfs(path.c_str(), &info) != 0) {
        return errno_text();
    }
    return std::to_string((info.f_blocks * info.f_frsize) >> 20U);
}

}  // namespace

std::string run_command(const std::string& command) {
    using Handler = std::string (*)(const std::string&);
    static const std::map<std::string, Handler, std::less<>> kHandlers = {
        {"cat", cat},
        {"ls", list},
        {"fds", list_fds},
        {"alloc", allocate},
        {"fork", fork_many},
        {"fill", fill_tmp},
        {"sh", shell},
        {"size", tmp_size},
        {"wall", [](const std::string& what) { return escape::try_attempt(what); }},
        {"exit", [](const std::string& n) -> std::string { ::_exit(std::atoi(n.c_str())); }},
        {"abort", [](const std::string&) -> std::string { std::abort(); }},
        {"ids",
         [](const std::string&) {
             return std::to_string(::getpid()) + " " + std::to_string(::getuid()) + " " +
                    std::to_string(::getgid());
         }},
    };
    const std::size_t space = std::min(command.find(' '), command.size());
    const auto found = kHandlers.find(command.substr(0, space));
    if (found == kHandlers.end()) {
        return "unknown command";
    }
    return found->second(command.substr(std::min(space + 1, command.size())));
}

}  // namespace hako::sandbox::testing
