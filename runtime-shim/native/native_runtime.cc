#include "runtime-shim/native/native_runtime.h"

#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hako/function.h"

#include "runtime-shim/native/code_file.h"
#include "runtime-shim/native/environment.h"
#include "runtime-shim/native/needed_libraries.h"

namespace hako::shim {
namespace {

constexpr const char* kDefaultSymbol = "hako_handler";
constexpr std::size_t kMessageBytes = 2 * PATH_MAX;

/// The handler string, taken apart. Owns nothing on the heap: the zygote's pages stay shared.
struct Entry {
    char root[PATH_MAX];
    char path[PATH_MAX];      // the file below the root
    char name[NAME_MAX + 1];  // the file as the handler names it
    char symbol[256];
};

/// Answers INIT with {"errorMessage","errorType","stackTrace":[]} and the same in the log.
int fail_init(hako_shim& shim, const char* type, const char* message) noexcept {
    hako_invocation inv = {};
    inv.response = hako_shim_response_buffer(&shim);
    inv.response_bytes_max = HAKO_RESPONSE_BYTES_MAX;
    hako_fail(&inv, type, message);
    hako_log("[ERROR] %s: %s", type, message);
    std::fflush(stdout);
    (void
    )hako_shim_respond(&shim, HAKO_RESPONSE_INIT_ERROR, inv.response_bytes);  // we leave anyway
    return 1;
}

__attribute__((format(printf, 3, 4))) int fail_init_with(
    hako_shim& shim, const char* type, const char* format, ...
) noexcept {
    char message[kMessageBytes];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    return fail_init(shim, type, message);
}

/// Fills `entry` from _HANDLER and LAMBDA_TASK_ROOT. False if the handler's form is wrong.
bool parse_handler(const char* handler, bool with_symbol, Entry& entry) noexcept {
    const char* const root = std::getenv("LAMBDA_TASK_ROOT");
    const char* const colon = with_symbol ? std::strrchr(handler, ':') : nullptr;
    const std::size_t name_bytes =
        colon != nullptr ? static_cast<std::size_t>(colon - handler) : std::strlen(handler);
    const char* const symbol = colon != nullptr ? colon + 1 : kDefaultSymbol;
    if (name_bytes == 0 || name_bytes >= sizeof(entry.name) || *symbol == '\0' ||
        std::strlen(symbol) >= sizeof(entry.symbol)) {
        return false;
    }
    std::memcpy(entry.name, handler, name_bytes);
    entry.name[name_bytes] = '\0';
    std::memcpy(entry.symbol, symbol, std::strlen(symbol) + 1);
    const bool root_set = root != nullptr && *root != '\0';
    const int root_bytes =
        std::snprintf(entry.root, sizeof(entry.root), "%s", root_set ? root : "/var/task");
    const int path_bytes =
        std::snprintf(entry.path, sizeof(entry.path), "%s/%s", entry.root, entry.name);
    return root_bytes < PATH_MAX && path_bytes < PATH_MAX;
}

/// Checks that the file is there and regular. Answers 0, or the exit status after INIT_ERROR.
int check_file(hako_shim& shim, const Entry& entry) noexcept {
    struct stat info = {};
    if (stat(entry.path, &info) != 0) {
        const int error = errno;
        return error == ENOENT || error == ENOTDIR ? fail_init_with(
                                                         shim,
                                                         "Runtime.InvalidEntrypoint",
                                                         "Couldn't find valid bootstrap(s): [%s]",
                                                         entry.path
                                                     )
                                                   : fail_init_with(
                                                         shim,
                                                         "Runtime.InvalidEntrypoint",
                                                         "Cannot use %s: %s",
                                                         entry.path,
                                                         std::strerror(error)
                                                     );
    }
    if (!S_ISREG(info.st_mode)) {
        return fail_init_with(
            shim, "Runtime.InvalidEntrypoint", "Cannot use %s: it is no regular file", entry.path
        );
    }
    return 0;
}

int serve_shared_object(hako_shim& shim, const Entry& entry) noexcept {
    char reason[256];
    if (explain_code_file(entry.path, reason, sizeof(reason))) {
        return fail_init_with(
            shim, "Runtime.InvalidEntrypoint", "Cannot load %s: %s", entry.path, reason
        );
    }
    load_needed_libraries(entry.path);
    void* const library = dlopen(entry.path, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        return fail_init_with(
            shim,
            "Runtime.ImportModuleError",
            "Unable to import module '%s': %s",
            entry.name,
            dlerror()
        );
    }
    void* const address = dlsym(library, entry.symbol);
    if (address == nullptr) {
        return fail_init_with(
            shim,
            "Runtime.HandlerNotFound",
            "Handler '%s' missing on module '%s'",
            entry.symbol,
            entry.name
        );
    }
    return hako_serve(&shim, reinterpret_cast<hako_handler_fn>(address));
}

/// Why execve failed, from its errno and the file. The usual suspects get better words than
/// errno's.
int fail_exec(hako_shim& shim, const Entry& entry, int error) noexcept {
    char reason[256];
    const bool explained = error != EACCES && explain_code_file(entry.path, reason, sizeof(reason));
    if (!explained) {
        const char* const text = error == EACCES   ? "it is not executable (permission denied)"
                                 : error == ENOENT ? "its interpreter is not in the sandbox"
                                                   : std::strerror(error);
        std::snprintf(reason, sizeof(reason), "%s", text);
    }
    return fail_init_with(
        shim, "Runtime.InvalidEntrypoint", "Cannot start %s: %s", entry.path, reason
    );
}

int become_executable(hako_shim& shim, Entry& entry, int channel_fd) noexcept {
    // The program answers the INIT, so it must inherit both descriptors and be told their numbers.
    const int error = [&shim, channel_fd] {
        if (fcntl(channel_fd, F_SETFD, 0) != 0 || fcntl(shim.doorbell_fd, F_SETFD, 0) != 0) {
            return errno;
        }
        const int failed = set_fd_variable(HAKO_ENV_CHANNEL_FD, channel_fd);
        return failed != 0 ? failed : set_fd_variable(HAKO_ENV_DOORBELL_FD, shim.doorbell_fd);
    }();
    if (error != 0) {
        return fail_init_with(
            shim, "Runtime.InvalidEntrypoint", "Cannot pass the channel: %s", std::strerror(error)
        );
    }
    char* const arguments[] = {entry.path, nullptr};
    execve(entry.path, arguments, environ);
    return fail_exec(shim, entry, errno);
}

int start_function(hako_shim& shim, spawner::RuntimeKind kind, int channel_fd) noexcept {
    const int error = replace_environment(hako_shim_event(&shim));
    if (error != 0) {
        return fail_init_with(
            shim, "Runtime.Unknown", "Cannot set the environment: %s", std::strerror(error)
        );
    }
    const char* const handler = std::getenv("_HANDLER");
    const bool shared_object = kind == spawner::RuntimeKind::kNative;
    Entry entry;
    if (handler == nullptr || !parse_handler(handler, shared_object, entry)) {
        return fail_init_with(
            shim,
            "Runtime.MalformedHandlerName",
            "Bad handler '%s': expected %s",
            handler != nullptr ? handler : "",
            shared_object ? "file.so or file.so:symbol" : "the path of a program in the package"
        );
    }
    if (chdir(entry.root) != 0) {
        return fail_init_with(
            shim, "Runtime.InvalidWorkingDir", "chdir %s: %s", entry.root, std::strerror(errno)
        );
    }
    const int missing = check_file(shim, entry);
    if (missing != 0) {
        return missing;
    }
    return shared_object ? serve_shared_object(shim, entry)
                         : become_executable(shim, entry, channel_fd);
}

/// Does once, in the pool, what a start does: afterwards the linker's, malloc's and stdio's data,
/// the stack and the channel's first pages are this process's own. On the cold path each of those
/// copy-on-write faults would cost 2 to 3 us, and there are about sixty.
void rehearse_start(hako_shim& shim, spawner::RuntimeKind kind) noexcept {
    constexpr std::size_t kStackBytes = 24 * 1024;
    volatile char stack[kStackBytes];
    for (std::size_t i = 0; i < kStackBytes; i += 4096) {
        stack[i] = static_cast<char>(i);
        (void)stack[i];
    }
    constexpr char kBlock[] = "_HANDLER=rehearsal";
    (void)replace_environment({kBlock, sizeof(kBlock)});  // the real one comes with INIT
    *static_cast<volatile char*>(hako_shim_response_buffer(&shim)) = 0;
    if (kind != spawner::RuntimeKind::kNative) {
        return;  // execve starts afresh
    }
    // A library that every glibc has and that nothing here has loaded yet: empty since 2.34.
    void* const library = dlopen("libdl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) {
        (void)dlsym(library, kDefaultSymbol);  // a miss is a rehearsal of the lookup
        (void)dlerror();
        dlclose(library);
    }
}

}  // namespace

int run_native_worker(spawner::RuntimeKind kind) noexcept {
    const int channel_fd = hako_shim_env_fd_(HAKO_ENV_CHANNEL_FD, HAKO_CHANNEL_FD);
    const int doorbell_fd = hako_shim_env_fd_(HAKO_ENV_DOORBELL_FD, HAKO_DOORBELL_FD);
    hako_shim shim;
    const int error = hako_shim_attach_at(&shim, channel_fd, doorbell_fd);
    if (error != 0) {
        std::fprintf(stderr, "hako: cannot attach to the channel: %s\n", std::strerror(error));
        return 1;
    }
    // A pipe would make stdout block-buffered, and a function that is killed would lose its last
    // lines.
    std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
    rehearse_start(shim, kind);
    const std::uint32_t request = hako_shim_wait(&shim);
    if (request == HAKO_REQUEST_SHUTDOWN) {
        return 0;
    }
    if (request != HAKO_REQUEST_INIT) {
        std::fprintf(stderr, "hako: the first request is %u, not INIT\n", request);
        return 1;
    }
    hako_shim_await_code(&shim);
    return start_function(shim, kind, channel_fd);
}

}  // namespace hako::shim
