// A C++ function that answers in parts.
#include "hako/function.h"

static void stream(std::string_view event, hako::ResponseStream& out, hako::Context& context) {
    if (event == "early") {
        throw hako::Error("Early", std::string(context.request_id()));
    }
    out.set_content_type("text/plain");
    if (event == "http") {
        out.begin_http(R"({"statusCode":200})");
    }
    if (event != "nothing") {
        out.write("one ");
        out.write("two");
    }
    if (event == "late") {
        throw std::out_of_range("behind the parts");
    }
    if (event == "large") {
        const std::string part(1'000'000, 'x');
        for (int i = 0; i < 7; ++i) {
            out.write(part);
        }
    }
}

HAKO_FUNCTION(stream)
