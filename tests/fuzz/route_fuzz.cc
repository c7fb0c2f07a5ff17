#include <string>

#include "engine/base/ensure.h"
#include "engine/model/route.h"
#include "tests/fuzz/fuzz.h"

// Request lines: a method, a query and a path.

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    namespace model = hako::model;
    hako::fuzz::Input input(data, bytes);
    const std::string method(input.take_text());
    const std::string query(input.take_text());
    const std::string path(input.rest());
    const auto route = model::find_route(method, path, query);
    if (!route) {
        return 0;
    }
    ENSURE(route->operation->method == method, "a route is for its method only");
    for (const std::string_view label : route->labels) {
        ENSURE(hako::fuzz::lies_in(label, path), "labels are views into the path");
        ENSURE(label.find('/') == std::string_view::npos, "a label is one segment");
    }
    const auto given =
        model::collect_given(*route, query, [](std::string_view) { return std::string_view("x"); });
    if (!given) {
        return 0;
    }
    for (const model::Given& one : *given) {
        ENSURE(one.member != nullptr, "what is collected is a member");
        ENSURE(
            one.member->place == model::Place::kPath || one.member->place == model::Place::kQuery ||
                one.member->place == model::Place::kHeader,
            "what is collected is outside of the body"
        );
    }
    return 0;
}
