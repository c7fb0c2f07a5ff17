// A C++ function for the tests: the event names what it shall throw.
#include "hako/function.h"

namespace shop {

struct OutOfStock : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace shop

// Not static, so that the stack trace can name it.
[[gnu::noinline]] void refuse_order() {
    throw hako::Error("OrderRefused", "no \"card\"");
}

static std::string handle(std::string_view event, hako::Context& context) {
    if (event == "standard") {
        throw std::out_of_range("index 9 of 3");
    }
    if (event == "derived") {
        throw shop::OutOfStock("tea");
    }
    if (event == "integer") {
        throw 5;
    }
    if (event == "literal") {
        throw "plain text";
    }
    if (event == "hako") {
        refuse_order();
    }
    if (event == "describe") {
        return std::string(context.request_id()) + "|" + std::string(context.function_name()) +
               "|" + std::to_string(context.memory_mib()) + "|" +
               std::string(context.client_context());
    }
    return std::string(event);
}

HAKO_FUNCTION(handle)
