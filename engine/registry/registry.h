#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/registry/api_error.h"
#include "engine/registry/function.h"
#include "engine/registry/function_name.h"
#include "engine/registry/function_version.h"

namespace hako::registry {

/// Every function, in memory. Lives on the loop thread; what is durable is in Store.
class Registry {
public:
    explicit Registry(Identity identity);
    Registry(const Registry&) = delete;
    Registry& operator=(const Registry&) = delete;

    /// What an invocation runs.
    struct Target {
        FunctionRef function;        // the version to execute
        std::string_view qualifier;  // as asked for, a view into the caller's text; may be empty
    };
    /// The version meant by any form of name (FACTS section 2); of an alias with routing one of the
    /// two by chance. For a plain name it neither allocates nor copies strings. Errors:
    /// ValidationException, ResourceNotFoundException, InvalidParameterValueException,
    /// AccessDeniedException with Lambda's texts.
    [[nodiscard]] std::expected<Target, ApiError> find(
        std::string_view name, std::string_view qualifier
    );
    /// $LATEST by plain name; null if there is none.
    [[nodiscard]] FunctionRef get(std::string_view plain_name) const;
    /// Everything of a function; null if there is none. Gone after the next change.
    [[nodiscard]] const Function* function(std::string_view plain_name) const;
    /// The statements of a resource policy (qualifier "" is the function itself); null if there is
    /// none. For whoever decides what a caller may do.
    [[nodiscard]] const Policy* policy(std::string_view plain_name, std::string_view qualifier)
        const;

    /// Sorted by name, those behind `after_name` (empty: from the start), at most `count_max`.
    [[nodiscard]] std::vector<const Function*> list(
        std::string_view after_name, std::size_t count_max
    ) const;

    /// Enters or replaces $LATEST or a published version; returns what was there before.
    FunctionRef put(FunctionRef version);
    /// Takes out a function with all its versions, $LATEST first; empty if there is none.
    std::vector<FunctionRef> remove(std::string_view plain_name);
    /// Takes out a published version; returns what was there.
    FunctionRef remove_version(std::string_view plain_name, std::uint64_t number);
    // The function must be there.
    void put_alias(std::string_view plain_name, Alias alias);
    void remove_alias(std::string_view plain_name, std::string_view alias);
    /// An empty policy takes it out.
    void put_policy(std::string_view plain_name, std::string_view qualifier, Policy policy);
    void set_reserved(std::string_view plain_name, std::optional<std::uint32_t> count);
    void set_last_number(std::string_view plain_name, std::uint64_t number);

    struct Replaced {
        FunctionRef before;
        FunctionRef after;
    };
    /// Gives every version its count of provisioned instances again, after a change of its own or
    /// of an alias; returns the versions whose count is another one now.
    std::vector<Replaced> share_provisioned(std::string_view plain_name);

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
    using Table = std::unordered_map<std::string, std::unique_ptr<Function>, Hash, std::equal_to<>>;

    [[nodiscard]] Function& at(std::string_view plain_name);
    [[nodiscard]] double draw() noexcept;
    FunctionRef replace(FunctionRef& place, FunctionRef version);

    Identity identity_;
    Table by_name_;
    std::map<std::string_view, const Function*> sorted_;  // views of by_name_'s keys
    std::uint64_t code_bytes_total_ = 0;
    std::uint64_t reserved_total_ = 0;
    std::uint64_t random_ = 0;  // state of the draw
};

}  // namespace hako::registry
