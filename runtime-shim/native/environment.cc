#include "runtime-shim/native/environment.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace hako::shim {

int replace_environment(hako_view block) noexcept {
    std::size_t entries_count = 0;
    for (std::size_t i = 0; i < block.bytes; ++i) {
        entries_count += block.data[i] == '\0' ? 1 : 0;
    }
    // One allocation each for the text and the pointers; the last entry may lack its NUL.
    auto* const text = static_cast<char*>(std::malloc(block.bytes + 1));
    auto** const entries = static_cast<char**>(std::malloc((entries_count + 2) * sizeof(char*)));
    if (text == nullptr || entries == nullptr) {
        std::free(text);
        std::free(static_cast<void*>(entries));
        return ENOMEM;
    }
    if (block.bytes != 0) {
        std::memcpy(text, block.data, block.bytes);
    }
    text[block.bytes] = '\0';
    std::size_t kept_count = 0;
    for (std::size_t at = 0; at < block.bytes; at += std::strlen(text + at) + 1) {
        const char* const equals = std::strchr(text + at, '=');
        if (equals != nullptr && equals != text + at) {
            entries[kept_count++] = text + at;
        }
    }
    entries[kept_count] = nullptr;
    environ = entries;
    tzset();  // the zygote's libc has looked at TZ already
    return 0;
}

int set_fd_variable(const char* name, int fd) noexcept {
    char text[16];
    std::snprintf(text, sizeof(text), "%d", fd);
    return setenv(name, text, 1) == 0 ? 0 : errno;
}

}  // namespace hako::shim
