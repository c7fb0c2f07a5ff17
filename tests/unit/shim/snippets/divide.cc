#include "hako/function.h"

#include <charconv>

// Takes a JSON array of two whole numbers without spaces: [84,2]
static std::string divide(std::string_view event, hako::Context& context) {
    int a = 0;
    int b = 0;
    const char* const end = event.data() + event.size();
    const auto first = std::from_chars(event.data() + 1, end, a);
    const auto second = std::from_chars(first.ptr + 1, end, b);
    if (event.front() != '[' || second.ec != std::errc()) {
        throw hako::Error("BadRequest", "expected [a,b]");
    }
    if (b == 0) {
        throw std::domain_error("division by zero");
    }
    hako_log("%s", std::string(context.function_name()).c_str());
    return std::to_string(a / b);
}

HAKO_FUNCTION(divide)
