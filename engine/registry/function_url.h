#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/registry/cors_rules.h"

namespace hako::registry {

/// The URL of a function or of one of its aliases.
struct FunctionUrl {
    std::string id;  ///< 32 lower-case letters and digits: the first label of the host name
    std::string function_name;
    std::string qualifier;    ///< an alias; empty: the function itself
    bool is_iam = false;      ///< AuthType AWS_IAM, else NONE
    std::string invoke_mode;  ///< BUFFERED, RESPONSE_STREAM, or empty: never said, so BUFFERED
    std::optional<CorsRules> cors;
    std::string created;  ///< 2017-12-14T10:00:00.123456Z
    std::string modified;

    [[nodiscard]] bool streams() const noexcept { return invoke_mode == "RESPONSE_STREAM"; }
};
using FunctionUrlRef = std::shared_ptr<const FunctionUrl>;

/// Every function URL, in memory. One thread (the loop).
class UrlTable {
public:
    /// Null if there is none.
    [[nodiscard]] FunctionUrlRef find(std::string_view id) const;
    [[nodiscard]] FunctionUrlRef find(std::string_view function_name, std::string_view qualifier)
        const;
    /// Those of a function, by qualifier; the function's own comes first.
    [[nodiscard]] std::vector<FunctionUrlRef> list(std::string_view function_name) const;

    /// Enters or replaces the one of the same function and qualifier.
    void put(FunctionUrlRef url);
    /// `url` must not be a reference into this table.
    void remove(const FunctionUrlRef& url);
    void remove_function(std::string_view function_name);
    [[nodiscard]] bool empty() const noexcept { return by_id_.empty(); }

private:
    struct Hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const noexcept {
            return std::hash<std::string_view>{}(text);
        }
    };
    using OfFunction = std::map<std::string, FunctionUrlRef, std::less<>>;

    std::unordered_map<std::string, FunctionUrlRef, Hash, std::equal_to<>> by_id_;
    std::unordered_map<std::string, OfFunction, Hash, std::equal_to<>> by_function_;
};

}  // namespace hako::registry
