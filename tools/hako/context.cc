#include "tools/hako/context.h"

#include <cstdlib>

#include <unistd.h>

namespace hako::cli {
namespace {

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

bool exists(const std::string& path) {
    return ::access(path.c_str(), F_OK) == 0;
}

}  // namespace

std::string socket_path(const Context& context) {
    if (!context.socket_path.empty()) {
        return context.socket_path;
    }
    const std::string named = variable("HAKO_SOCKET");
    if (!named.empty()) {
        return named;
    }
    const std::string system = "/run/hako/hako.sock";
    const std::string runtime_directory = variable("XDG_RUNTIME_DIR");
    if (::geteuid() != 0 && !runtime_directory.empty()) {
        const std::string own = runtime_directory + "/hako/hako.sock";
        if (exists(own) || !exists(system)) {
            return own;
        }
    }
    return system;
}

std::string default_state_directory() {
    const std::string named = variable("HAKO_STATE");
    if (!named.empty()) {
        return named;
    }
    const std::string system = "/var/lib/hako";
    if (::geteuid() == 0) {
        return system;
    }
    const std::string state_home = variable("XDG_STATE_HOME");
    const std::string own =
        (state_home.empty() ? variable("HOME") + "/.local/state" : state_home) + "/hako";
    return exists(own) || !exists(system) ? own : system;
}

}  // namespace hako::cli
