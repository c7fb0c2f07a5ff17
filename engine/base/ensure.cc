#include "engine/base/ensure.h"

#include <cstdio>
#include <cstdlib>

namespace hako {

void ensure_failed(const char* expression, const char* text, std::source_location where) noexcept {
    std::fprintf(
        stderr,
        "hako: invariant broken: %s (%s) at %s:%u in %s\n",
        text,
        expression,
        where.file_name(),
        where.line(),
        where.function_name()
    );
    std::abort();
}

}  // namespace hako
