#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

// Lambda's API as data: what api/*.api says, compiled to tables (README.md has the form).
// Everything here is constant and lives for ever.
namespace hako::model {

enum class Kind : std::uint8_t {
    kString,
    kEnum,
    kInteger,
    kLong,
    kDouble,
    kBoolean,
    kBlob,
    kTimestamp,
    kList,
    kMap,
    kStructure,
};

/// Where HTTP carries a member.
enum class Place : std::uint8_t { kBody, kPath, kQuery, kHeader, kPayload, kStatus };

/// What hako does with a member. Of a request: kIgnored takes any valid value and does nothing,
/// kShown keeps it only to show it again, kEmpty refuses what asks for something and kOnly refuses
/// all but one value. Of an answer: kNever is not given.
enum class Support : std::uint8_t { kWorks, kShown, kIgnored, kEmpty, kOnly, kNever };

struct Type;

struct Member {
    std::string_view name;
    std::string_view wire;  // name in the query or of the header
    const Type* type = nullptr;
    Place place = Place::kBody;
    Support support = Support::kWorks;
    std::string_view only;  // the one value of kOnly
    std::string_view note;  // for the compatibility table
    bool is_required = false;
};

struct Type {
    std::string_view name;
    Kind kind = Kind::kString;
    /// Bounds of a number, of a string's length in characters, or of the count of items.
    double min = -std::numeric_limits<double>::infinity();
    double max = std::numeric_limits<double>::infinity();
    std::string_view pattern;  // of the whole string, in Java's dialect; empty if any
    std::span<const std::string_view> values;  // of an enumeration
    const Type* element = nullptr;             // of a list's items or a map's values
    const Type* key = nullptr;                 // of a map
    std::span<const Member> members;           // of a structure
    bool is_sensitive = false;                 // not repeated in texts

    [[nodiscard]] const Member* find_member(std::string_view member) const noexcept;
};

struct Operation {
    std::string_view name;
    std::string_view family;
    std::string_view method;
    std::string_view path;                       // /2015-03-31/functions/{FunctionName}
    std::string_view query;                      // `List=ALL`: must be there, or empty
    std::span<const std::string_view> segments;  // of the path
    std::span<const Member> members;             // of the request
    const Type* answer = nullptr;                // null: no body
    std::string_view note;
    int status = 200;  // of success
    bool is_served = true;

    [[nodiscard]] const Member* find_member(std::string_view member) const noexcept;
    /// Position in `operations()`, for tables of one's own.
    [[nodiscard]] std::size_t index() const noexcept;
};

[[nodiscard]] std::span<const Operation> operations() noexcept;
[[nodiscard]] std::span<const Type> types() noexcept;
/// Null if Lambda has no such operation, or hako has never heard of it.
[[nodiscard]] const Operation* find_operation(std::string_view name) noexcept;

}  // namespace hako::model
