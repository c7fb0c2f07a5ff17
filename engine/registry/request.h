#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/route.h"
#include "engine/registry/api_error.h"
#include "engine/registry/json_reader.h"
#include "engine/registry/pattern_set.h"

namespace hako::registry {

/// One value of a request, or nothing: null counts as absent, and members of what is absent are
/// absent. Its type has been checked; asking for another one is a bug. A view into the Request.
class Value {
public:
    Value() = default;
    explicit Value(simdjson::dom::element element) : element_(element), source_(Source::kBody) {}
    Value(std::span<const model::Given> given, const model::Member* member)
        : given_(given), member_(member), source_(Source::kOutside) {}

    [[nodiscard]] explicit operator bool() const noexcept { return source_ != Source::kNone; }
    [[nodiscard]] Value operator[](std::string_view member) const;

    [[nodiscard]] std::string_view text() const;
    [[nodiscard]] std::int64_t integer() const;
    [[nodiscard]] double number() const;
    [[nodiscard]] bool boolean() const;
    [[nodiscard]] std::vector<Value> items() const;
    /// A map of strings in the order given.
    [[nodiscard]] StringPairs pairs() const;
    /// A map of anything.
    [[nodiscard]] std::vector<std::pair<std::string_view, Value>> entries() const;
    /// As Java prints it: `a`, `[a, b]`, `{k=v}`; what error texts quote.
    [[nodiscard]] std::string to_text() const;

    [[nodiscard]] std::string_view text_or(std::string_view fallback) const {
        return *this ? text() : fallback;
    }
    [[nodiscard]] std::int64_t integer_or(std::int64_t fallback) const {
        return *this ? integer() : fallback;
    }
    [[nodiscard]] bool boolean_or(bool fallback) const { return *this ? boolean() : fallback; }

private:
    enum class Source : std::uint8_t { kNone, kBody, kOutside };
    simdjson::dom::element element_;
    std::span<const model::Given> given_;
    const model::Member* member_ = nullptr;
    Source source_ = Source::kNone;
};

/// A request whose types and constraints were found good.
class Request {
public:
    [[nodiscard]] const model::Operation& operation() const noexcept { return *operation_; }
    /// A member by its name in the model; one the operation does not have is a bug.
    [[nodiscard]] Value operator[](std::string_view member) const;
    /// The one member of type blob in the body (ZipFile), decoded; nothing if it was not given.
    [[nodiscard]] const std::optional<std::vector<std::byte>>& blob() const noexcept {
        return blob_;
    }

private:
    friend class RequestReader;
    const model::Operation* operation_ = nullptr;
    std::unique_ptr<JsonDocument> document_;  // elements point into it, so it must not move
    simdjson::dom::object body_;
    std::span<const model::Given> given_;
    std::optional<std::vector<std::byte>> blob_;
};

/// Reads and checks the request of any operation by the model. Const and thread-safe.
class RequestReader {
public:
    /// `given`: the members that HTTP carries outside of the body; it and `body` must outlive the
    /// Request. Every member may be in `body` too, but not twice. Errors, in this order:
    /// InvalidRequestContentException (not JSON, wrong type, twice), InvalidParameterValueException
    /// (a member Lambda or hako does not have), ValidationException (all broken constraints).
    [[nodiscard]] std::expected<Request, ApiError> read(
        const model::Operation& operation,
        std::span<const model::Given> given,
        std::string_view body
    ) const;

private:
    [[nodiscard]] std::optional<ApiError> check_constraints(const Request& request) const;

    PatternSet patterns_;
};

}  // namespace hako::registry
