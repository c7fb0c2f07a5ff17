#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/registry/api_error.h"
#include "engine/registry/function_name.h"
#include "engine/registry/function_version.h"

namespace hako::registry {

/// Every function, in memory: what the invoke path reads. One thread (the loop). The database
/// behind it is `Store`; `ControlService` keeps the two in step.
class Registry {
public:
    explicit Registry(Identity identity) : identity_(std::move(identity)) {}
    Registry(const Registry&) = delete;
    Registry& operator=(const Registry&) = delete;

    /// The function meant by any form of name (FACTS section 2). For a plain name it neither
    /// allocates nor copies strings. Errors: ValidationException, ResourceNotFoundException,
    /// InvalidParameterValueException, AccessDeniedException with Lambda's texts.
    [[nodiscard]] std::expected<FunctionRef, ApiError> find(
        std::string_view name, std::string_view qualifier
    ) const;
    /// By plain name; null if there is none.
    [[nodiscard]] FunctionRef get(std::string_view plain_name) const;

    /// Sorted by name, those behind `after_name` (empty: from the start), at most `count_max`.
    [[nodiscard]] std::vector<FunctionRef> list(std::string_view after_name, std::size_t count_max)
        const;

    /// Enters or replaces; returns what was there before.
    FunctionRef put(FunctionRef function);
    /// Takes out; returns what was there.
    FunctionRef remove(std::string_view plain_name);

    [[nodiscard]] std::size_t functions_count() const noexcept { return by_name_.size(); }
    /// Sum of the zip sizes of all versions.
    [[nodiscard]] std::uint64_t code_bytes_total() const noexcept { return code_bytes_total_; }
    [[nodiscard]] std::uint64_t reserved_total() const noexcept { return reserved_total_; }
    [[nodiscard]] const Identity& identity() const noexcept { return identity_; }

private:
    struct Hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const noexcept {
            return std::hash<std::string_view>{}(text);
        }
    };
    using Table = std::unordered_map<std::string, FunctionRef, Hash, std::equal_to<>>;

    void count(const FunctionVersion& function, bool adding) noexcept;

    Identity identity_;
    Table by_name_;
    std::map<std::string_view, const FunctionRef*> sorted_;  // views of and into by_name_'s nodes
    std::uint64_t code_bytes_total_ = 0;
    std::uint64_t reserved_total_ = 0;
};

}  // namespace hako::registry
