#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "engine/gateway/http/reader.h"

namespace hako::gateway::http {

/// Feeds a reader with `pieces` as a connection does and writes down what it makes of them: a line
/// per request, and the fault that ends it.
inline std::string script_of(
    RequestReader& reader, const std::vector<std::string_view>& pieces, std::uint64_t body_bytes_max
) {
    std::string script;
    reader.reset();
    const auto note = [&script](Request& request, const RequestParser& parser) {
        script += fmt::format("{} {}", request.method, request.path);
        if (!request.query.empty()) {
            script += fmt::format(" ?{}", request.query);
        }
        script += fmt::format(" headers={}", request.headers.size());
        script += parser.keeps_alive() ? "" : " last";
        script += parser.expects_continue() ? " expects" : "";
        script += request.body.empty() ? "" : fmt::format(" body={}", request.body);
        script += '\n';
    };
    for (std::string_view piece : pieces) {
        while (!piece.empty()) {
            const auto room = reader.room();
            const std::size_t bytes = std::min(room.size(), piece.size());
            std::memcpy(room.data(), piece.data(), bytes);
            reader.received(bytes);
            piece.remove_prefix(bytes);
            for (auto step = reader.advance();; step = reader.advance()) {
                if (!step) {
                    return script + fmt::format("{} {}", step.error().status, step.error().text);
                }
                if (*step == RequestReader::Next::kMore) {
                    break;
                }
                if (*step == RequestReader::Next::kHead) {
                    if (!reader.allow_body(body_bytes_max)) {
                        return script + "413 ";
                    }
                    continue;
                }
                note(reader.request(), reader.parser());
                reader.next_request();
            }
        }
    }
    const bool is_between = !reader.is_in_body() && reader.begun().empty();
    return script + (is_between ? "" : "more");
}

inline std::string script_of(std::string_view bytes, std::uint64_t body_bytes_max = 1U << 20U) {
    RequestReader reader{HeadLimits{}};
    return script_of(reader, {bytes}, body_bytes_max);
}

}  // namespace hako::gateway::http
