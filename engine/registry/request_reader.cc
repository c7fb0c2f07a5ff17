#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <unordered_set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "engine/base/result.h"
#include "engine/registry/digest.h"
#include "engine/registry/request.h"

// Three passes over a request: types and members it may not have, constraints, members of which
// hako has only one value.
namespace hako::registry {

namespace {

using model::Kind;
using model::Member;
using model::Place;
using model::Support;
using model::Type;
using simdjson::dom::element;
using Status = std::expected<void, ApiError>;

std::unexpected<ApiError> wrong_type(std::string_view path, std::string_view wanted) {
    return std::unexpected(bad_json(fmt::format("'{}' must be {}", path, wanted)));
}

std::unexpected<ApiError> twice(std::string_view path) {
    return std::unexpected(bad_json(fmt::format("'{}' is there twice", path)));
}

std::string join(std::string_view path, std::string_view member) {
    return path.empty() ? std::string(member) : fmt::format("{}.{}", path, member);
}

/// null, false, "", [], {}, and objects of nothing else: asks for nothing.
bool asks_for_nothing(element value) {
    switch (value.type()) {
        case simdjson::dom::element_type::NULL_VALUE:
            return true;
        case simdjson::dom::element_type::BOOL:
            return !value.get_bool().value_unsafe();
        case simdjson::dom::element_type::STRING:
            return value.get_string().value_unsafe().empty();
        case simdjson::dom::element_type::ARRAY:
            return value.get_array().value_unsafe().size() == 0;
        case simdjson::dom::element_type::OBJECT: {
            const simdjson::dom::object members = value.get_object().value_unsafe();
            return std::all_of(members.begin(), members.end(), [](const auto& member) {
                return asks_for_nothing(member.value);
            });
        }
        default:
            return false;
    }
}

std::unexpected<ApiError> unsupported(std::string_view path) {
    return std::unexpected(invalid_parameter(
        fmt::format("Member '{}' is not supported by hako: leave it out or empty.", path)
    ));
}

/// The first pass: every value has the type the model gives it. What it recurses into is bounded
/// by the parser's depth.
class TypeCheck {
public:
    explicit TypeCheck(std::optional<std::vector<std::byte>>& blob) : blob_(blob) {}

    Status structure(
        std::span<const Member> known,
        simdjson::dom::object members,
        std::string_view path,
        std::string_view owner
    ) {
        std::unordered_set<std::string_view> seen;
        for (const auto& [key, value] : members) {
            const auto member = std::ranges::find(known, key, &Member::name);
            if (member == known.end() || member->place == Place::kPayload) {
                return std::unexpected(invalid_parameter(fmt::format(
                    "Member '{}' is not known to {}: hako does not ignore what it does not know.",
                    key,
                    owner
                )));
            }
            if (!seen.insert(key).second) {
                return twice(join(path, key));
            }
            if (value.is_null()) {
                continue;
            }
            TRY(check(*member->type, value, join(path, key)));
            if (member->support == Support::kEmpty && !asks_for_nothing(value)) {
                return unsupported(join(path, key));
            }
        }
        return {};
    }

private:
    Status check(const Type& type, element value, std::string_view path) {
        switch (type.kind) {
            case Kind::kString:
            case Kind::kEnum:
                return value.is_string() ? Status() : wrong_type(path, "a string");
            case Kind::kInteger:
            case Kind::kLong:
                return value.is_int64() ? Status() : wrong_type(path, "an integer");
            case Kind::kDouble:
            case Kind::kTimestamp:
                return value.is_number() ? Status() : wrong_type(path, "a number");
            case Kind::kBoolean:
                return value.is_bool() ? Status() : wrong_type(path, "true or false");
            case Kind::kBlob:
                return check_blob(value, path);
            case Kind::kList:
                return check_list(type, value, path);
            case Kind::kMap:
                return check_map(type, value, path);
            case Kind::kStructure:
                break;
        }
        if (!value.is_object()) {
            return wrong_type(path, "an object");
        }
        return structure(type.members, value.get_object().value_unsafe(), path, path);
    }

    Status check_blob(element value, std::string_view path) {
        if (!value.is_string()) {
            return wrong_type(path, "a string");
        }
        if (blob_) {
            return twice(path);
        }
        blob_ = from_base64(value.get_string().value_unsafe());
        return blob_ ? Status() : wrong_type(path, "base64");
    }

    Status check_list(const Type& type, element value, std::string_view path) {
        if (!value.is_array()) {
            return wrong_type(path, "a list");
        }
        const simdjson::dom::array items = value.get_array().value_unsafe();
        for (const element item : items) {
            TRY(check(*type.element, item, path));
        }
        return {};
    }

    Status check_map(const Type& type, element value, std::string_view path) {
        if (!value.is_object()) {
            return wrong_type(path, "an object");
        }
        std::unordered_set<std::string_view> seen;
        const simdjson::dom::object entries = value.get_object().value_unsafe();
        for (const auto& [key, item] : entries) {
            if (!seen.insert(key).second) {
                return twice(join(path, key));
            }
            TRY(check(*type.element, item, join(path, key)));
        }
        return {};
    }

    std::optional<std::vector<std::byte>>& blob_;
};

template <typename Number>
bool is_number(std::string_view text) {
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size();
}

std::unexpected<ApiError> not_serialized(std::string_view name, std::string_view wanted) {
    return std::unexpected(ApiError{
        .status = 400,
        .code = "SerializationException",
        .message = fmt::format("'{}' must be {}", name, wanted)
    });
}

/// The same for what came as text in the path, the query or a header.
Status check_given(std::span<const model::Given> given, const simdjson::dom::object* body) {
    for (std::size_t at = 0; at < given.size(); ++at) {
        const Member& member = *given[at].member;
        const std::string_view text = given[at].text;
        if (!simdjson::validate_utf8(text.data(), text.size())) {
            return not_serialized(member.name, "UTF-8");
        }
        const Kind kind = member.type->kind;
        if ((kind == Kind::kInteger || kind == Kind::kLong) && !is_number<std::int64_t>(text)) {
            return not_serialized(member.name, "an integer");
        }
        if (kind == Kind::kBoolean && text != "true" && text != "false") {
            return not_serialized(member.name, "true or false");
        }
        const auto same = [&member](const model::Given& other) { return other.member == &member; };
        element in_body;
        if ((kind != Kind::kList && std::ranges::any_of(given.subspan(at + 1), same)) ||
            (body != nullptr && (*body)[member.name].get(in_body) == simdjson::SUCCESS)) {
            return twice(member.name);
        }
        if (member.support == Support::kEmpty && !text.empty()) {
            return unsupported(member.name);
        }
    }
    return {};
}

/// `MemorySize` to `memorySize`, as Lambda spells members in its texts.
std::string lower_camel(std::string_view name) {
    std::string result(name);
    result.front() = static_cast<char>(result.front() | 0x20);
    return result;
}

enum class Rule : std::uint8_t { kMax, kMin, kPattern, kValues };
// The order in which Lambda names them.
constexpr std::array kRules = {Rule::kMax, Rule::kMin, Rule::kPattern, Rule::kValues};

bool has_rule(const Type& type, Rule rule) {
    switch (rule) {
        case Rule::kMax:
            return type.max < std::numeric_limits<double>::infinity();
        case Rule::kMin:
            return type.min > -std::numeric_limits<double>::infinity();
        case Rule::kPattern:
            return !type.pattern.empty();
        case Rule::kValues:
            return !type.values.empty();
    }
    return false;
}

/// A rule of a type in Lambda's words.
std::string rule_text(const Type& type, Rule rule) {
    const bool is_number =
        type.kind == Kind::kInteger || type.kind == Kind::kLong || type.kind == Kind::kDouble;
    const std::string_view what = is_number ? "value" : "length";
    switch (rule) {
        case Rule::kMax:
            return fmt::format("Member must have {} less than or equal to {}", what, type.max);
        case Rule::kMin:
            return fmt::format("Member must have {} greater than or equal to {}", what, type.min);
        case Rule::kPattern:
            return fmt::format("Member must satisfy regular expression pattern: {}", type.pattern);
        case Rule::kValues:
            return fmt::format(
                "Member must satisfy enum value set: [{}]", fmt::join(type.values, ", ")
            );
    }
    return {};
}

/// All rules of the items of a list, the keys or the values of a map.
std::string rules_text(const Type& type) {
    std::vector<std::string> texts;
    for (const Rule rule : kRules) {
        if (has_rule(type, rule)) {
            texts.push_back(rule_text(type, rule));
        }
    }
    texts.emplace_back("Member must not be null");
    return fmt::format("[{}]", fmt::join(texts, ", "));
}

std::size_t characters_count(std::string_view text) {
    return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) {
        return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U;
    }));
}

/// The second pass. Goes on after a broken constraint: Lambda reports all of them.
class ConstraintCheck {
public:
    explicit ConstraintCheck(const PatternSet& patterns) : patterns_(patterns) {}

    void member(const Member& member, const Value& value, std::string_view path) {
        const std::string name = join(path, lower_camel(member.name));
        if (value && !(member.support == Support::kEmpty)) {
            check(*member.type, value, name);
        } else if (!value && member.is_required) {
            faults_.push_back(fmt::format(
                "Value null at '{}' failed to satisfy constraint: Member must not be null", name
            ));
        }
    }

    [[nodiscard]] std::optional<ApiError> result() const {
        if (faults_.empty()) {
            return std::nullopt;
        }
        return validation_error(fmt::format(
            "{} validation error{} detected: {}",
            faults_.size(),
            faults_.size() == 1 ? "" : "s",
            fmt::join(faults_, "; ")
        ));
    }

private:
    void check(const Type& type, const Value& value, std::string_view path) {
        switch (type.kind) {
            case Kind::kString:
            case Kind::kEnum:
            case Kind::kInteger:
            case Kind::kLong:
            case Kind::kDouble:
                for (const Rule rule : kRules) {
                    if (!keeps(type, rule, value)) {
                        fail(type, value, path, rule_text(type, rule));
                    }
                }
                return;
            case Kind::kList:
                check_list(type, value, path);
                return;
            case Kind::kMap:
                check_map(type, value, path);
                return;
            case Kind::kStructure:
                for (const Member& inner : type.members) {
                    member(inner, value[inner.name], path);
                }
                return;
            case Kind::kBoolean:
            case Kind::kBlob:
            case Kind::kTimestamp:
                return;
        }
    }

    [[nodiscard]] bool keeps(const Type& type, Rule rule, const Value& value) const {
        if (!has_rule(type, rule)) {
            return true;
        }
        switch (type.kind) {
            case Kind::kInteger:
            case Kind::kLong: {
                const auto number = static_cast<double>(value.integer());
                return rule == Rule::kMax ? number <= type.max : number >= type.min;
            }
            case Kind::kDouble:
                return rule == Rule::kMax ? value.number() <= type.max : value.number() >= type.min;
            default:
                return keeps_text(type, rule, value.text());
        }
    }

    [[nodiscard]] bool keeps_text(const Type& type, Rule rule, std::string_view text) const {
        const auto length = static_cast<double>(characters_count(text));
        switch (rule) {
            case Rule::kMax:
                return length <= type.max;
            case Rule::kMin:
                return length >= type.min;
            case Rule::kPattern:  // what is too long is not searched
                return length > type.max || patterns_.matches(type, text);
            case Rule::kValues:
                return std::ranges::find(type.values, text) != type.values.end();
        }
        return false;
    }

    [[nodiscard]] bool keeps_all(const Type& type, const Value& value) const {
        const bool is_free = type.kind == Kind::kBoolean || type.kind == Kind::kTimestamp;
        return is_free ||
               std::ranges::all_of(kRules, [&](Rule rule) { return keeps(type, rule, value); });
    }

    void check_list(const Type& type, const Value& value, std::string_view path) {
        const std::vector<Value> items = value.items();
        check_count(type, value, items.size(), path);
        const Type& element = *type.element;
        for (std::size_t at = 0; at < items.size(); ++at) {
            if (element.kind == Kind::kStructure) {
                check(element, items[at], fmt::format("{}.{}.member", path, at + 1));
            } else if (!keeps_all(element, items[at])) {
                fail(type, value, path, "Member must satisfy constraint: " + rules_text(element));
                return;
            }
        }
    }

    void check_map(const Type& type, const Value& value, std::string_view path) {
        const auto entries = value.entries();
        check_count(type, value, entries.size(), path);
        for (const auto& [key, item] : entries) {
            if (!std::ranges::all_of(kRules, [&, text = key](Rule rule) {
                    return !has_rule(*type.key, rule) || keeps_text(*type.key, rule, text);
                })) {
                fail(
                    type, value, path, "Map keys must satisfy constraint: " + rules_text(*type.key)
                );
                return;
            }
        }
        const Type& element = *type.element;
        for (const auto& [key, item] : entries) {
            if (element.kind == Kind::kList) {
                check_list(element, item, fmt::format("{}.{}", path, key));
            } else if (!keeps_all(element, item)) {
                fail(
                    type, value, path, "Map value must satisfy constraint: " + rules_text(element)
                );
                return;
            }
        }
    }

    void check_count(
        const Type& type, const Value& value, std::size_t items_count, std::string_view path
    ) {
        const auto count = static_cast<double>(items_count);
        if (count > type.max) {
            fail(type, value, path, rule_text(type, Rule::kMax));
        } else if (count < type.min) {
            fail(type, value, path, rule_text(type, Rule::kMin));
        }
    }

    void fail(
        const Type& type, const Value& value, std::string_view path, std::string_view constraint
    ) {
        const std::string shown = type.is_sensitive ? "" : fmt::format(" '{}'", value.to_text());
        faults_.push_back(
            fmt::format("Value{} at '{}' failed to satisfy constraint: {}", shown, path, constraint)
        );
    }

    const PatternSet& patterns_;
    std::vector<std::string> faults_;
};

/// The third pass: of some members hako has only one of Lambda's values.
Status check_only(const Member& member, const Value& value, std::string_view path) {
    if (!value) {
        return {};
    }
    const std::string name = join(path, member.name);
    if (member.support == Support::kOnly && value.to_text() != member.only) {
        return std::unexpected(invalid_parameter(
            fmt::format("Member '{}' is not supported by hako but for '{}'.", name, member.only)
        ));
    }
    if (member.type->kind == Kind::kStructure) {
        for (const Member& inner : member.type->members) {
            TRY(check_only(inner, value[inner.name], name));
        }
    }
    return {};
}

}  // namespace

std::optional<ApiError> RequestReader::check_constraints(const Request& request) const {
    ConstraintCheck check(patterns_);
    for (const Member& member : request.operation().members) {
        if (member.place != Place::kPayload) {
            check.member(member, request[member.name], "");
        }
    }
    return check.result();
}

std::expected<Request, ApiError> RequestReader::read(
    const model::Operation& operation, std::span<const model::Given> given, std::string_view body
) const {
    Request request;
    request.operation_ = &operation;
    request.given_ = given;
    request.document_ = std::make_unique<JsonDocument>();
    const auto members = request.document_->parse(body);
    if (!members) {
        return std::unexpected(bad_json(members.error()));
    }
    request.body_ = *members;
    TRY(TypeCheck(request.blob_).structure(operation.members, *members, "", operation.name));
    TRY(check_given(given, &*members));
    if (auto fault = check_constraints(request)) {
        return std::unexpected(std::move(*fault));
    }
    for (const Member& member : operation.members) {
        TRY(check_only(member, request[member.name], ""));
    }
    return request;
}

}  // namespace hako::registry
