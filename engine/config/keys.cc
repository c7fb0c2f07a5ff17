#include "engine/config/keys.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace hako::config {

namespace {

template <typename... Ts>
struct Overload : Ts... {
    using Ts::operator()...;
};

std::optional<std::uint64_t> parse_integer(std::string_view text, int base) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
    if (error != std::errc{} || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return number;
}

bool is_choice(std::string_view choices, std::string_view text) {
    for (std::size_t at = 0; at <= choices.size();) {
        const std::size_t bar = std::min(choices.find('|', at), choices.size());
        if (choices.substr(at, bar - at) == text) {
            return true;
        }
        at = bar + 1;
    }
    return false;
}

std::string refusal(const Key& key, std::string_view text) {
    const std::string range = range_of(key);
    return fmt::format(
        "'{}' is not {} {}{}{}{}",
        text,
        type_of(key) == "integer" || type_of(key) == "octal number" ? "an" : "a",
        key.choices.empty() ? type_of(key) : "choice",
        key.choices.empty() ? " in " : " of ",
        range,
        key.unit.empty() ? "" : fmt::format(" ({})", key.unit)
    );
}

/// The number, if the text is one and in the key's range.
std::optional<std::uint64_t> integer_in_range(const Key& key, std::string_view text) {
    const auto number = parse_integer(text, key.is_octal ? 8 : 10);
    if (!number || static_cast<double>(*number) < key.min ||
        static_cast<double>(*number) > key.max) {
        return std::nullopt;
    }
    return number;
}

std::optional<std::string> assign_string(const Key& key, std::string_view text, std::string& into) {
    if (!key.choices.empty() && !is_choice(key.choices, text)) {
        return refusal(key, text);
    }
    if (text.find('\0') != std::string_view::npos) {
        return "the value has a NUL in it";
    }
    into = text;
    return std::nullopt;
}

template <typename Integer>
std::optional<std::string> assign_integer(const Key& key, std::string_view text, Integer& into) {
    const auto number = integer_in_range(key, text);
    if (!number) {
        return refusal(key, text);
    }
    into = static_cast<Integer>(*number);
    return std::nullopt;
}

std::optional<std::string> assign_number(const Key& key, std::string_view text, double& into) {
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(number) ||
        number < key.min || number > key.max) {
        return refusal(key, text);
    }
    into = number;
    return std::nullopt;
}

std::optional<std::string> assign_boolean(const Key& key, std::string_view text, bool& into) {
    if (text != "true" && text != "false") {
        return refusal(key, text);
    }
    into = text == "true";
    return std::nullopt;
}

std::string number_text(double number) {
    return fmt::format("{}", number);
}

}  // namespace

std::string flag_of(const Key& key) {
    std::string flag = fmt::format("--{}", key.name);
    std::ranges::replace(flag, '_', '-');
    return flag;
}

std::string_view type_of(const Key& key) {
    return std::visit(
        Overload{
            [](std::string Settings::*) -> std::string_view { return "string"; },
            [](double Settings::*) -> std::string_view { return "number"; },
            [](bool Settings::*) -> std::string_view { return "boolean"; },
            [&key](auto) -> std::string_view { return key.is_octal ? "octal number" : "integer"; },
        },
        key.field
    );
}

std::string range_of(const Key& key) {
    if (!key.choices.empty()) {
        return std::string(key.choices);
    }
    if (std::holds_alternative<std::string Settings::*>(key.field)) {
        return {};
    }
    if (std::holds_alternative<bool Settings::*>(key.field)) {
        return "true or false";
    }
    if (key.is_octal) {
        return fmt::format(
            "{:o}..{:04o}", static_cast<unsigned>(key.min), static_cast<unsigned>(key.max)
        );
    }
    const std::string range = fmt::format(
        "{}..{}", static_cast<std::int64_t>(key.min), static_cast<std::int64_t>(key.max)
    );
    return std::holds_alternative<std::optional<std::uint32_t> Settings::*>(key.field)
               ? fmt::format("{} or none", range)
               : range;
}

std::string default_of(const Key& key) {
    return std::string(key.derived.empty() ? key.fallback : key.derived);
}

std::optional<std::string> assign(const Key& key, std::string_view text, Settings& settings) {
    return std::visit(
        Overload{
            [&](std::string Settings::* field) {
                return assign_string(key, text, settings.*field);
            },
            [&](std::uint32_t Settings::* field) {
                return assign_integer(key, text, settings.*field);
            },
            [&](std::uint64_t Settings::* field) {
                return assign_integer(key, text, settings.*field);
            },
            [&](double Settings::* field) { return assign_number(key, text, settings.*field); },
            [&](bool Settings::* field) { return assign_boolean(key, text, settings.*field); },
            [&](std::optional<std::uint32_t> Settings::* field) -> std::optional<std::string> {
                if (text == "none") {
                    settings.*field = std::nullopt;
                    return std::nullopt;
                }
                std::uint32_t number = 0;
                auto fault = assign_integer(key, text, number);
                if (!fault) {
                    settings.*field = number;
                }
                return fault;
            },
        },
        key.field
    );
}

std::string text_of(const Key& key, const Settings& settings) {
    return std::visit(
        Overload{
            [&](std::string Settings::* field) { return settings.*field; },
            [&](double Settings::* field) { return number_text(settings.*field); },
            [&](bool Settings::* field) { return std::string(settings.*field ? "true" : "false"); },
            [&](std::optional<std::uint32_t> Settings::* field) {
                const auto& value = settings.*field;
                return value ? std::to_string(*value) : std::string("none");
            },
            [&](auto field) {
                return key.is_octal ? fmt::format("{:04o}", settings.*field)
                                    : std::to_string(settings.*field);
            },
        },
        key.field
    );
}

}  // namespace hako::config
