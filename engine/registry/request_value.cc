#include <charconv>
#include <string>

#include <fmt/format.h>

#include "engine/base/ensure.h"
#include "engine/registry/request.h"

namespace hako::registry {

namespace {

using simdjson::dom::element;

/// Of a checked value: another type is our own mistake.
template <typename T>
T get(const element& value) {
    T result{};
    ENSURE(value.get(result) == simdjson::SUCCESS, "the request's types were checked");
    return result;
}

template <typename Number>
Number parse(std::string_view text) {
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    ENSURE(error == std::errc() && end == text.data() + text.size(), "the number was checked");
    return number;
}

Value present(const element& value) {
    return value.is_null() ? Value() : Value(value);
}

}  // namespace

Value Value::operator[](std::string_view member) const {
    if (source_ == Source::kNone) {
        return {};
    }
    ENSURE(source_ == Source::kBody, "only the body has structures");
    element found;
    return get<simdjson::dom::object>(element_)[member].get(found) == simdjson::SUCCESS
               ? present(found)
               : Value();
}

std::string_view Value::text() const {
    return source_ == Source::kOutside ? std::string_view(given_.front().text)
                                       : get<std::string_view>(element_);
}

std::int64_t Value::integer() const {
    return source_ == Source::kOutside ? parse<std::int64_t>(given_.front().text)
                                       : get<std::int64_t>(element_);
}

double Value::number() const {
    return source_ == Source::kOutside ? parse<double>(given_.front().text) : get<double>(element_);
}

bool Value::boolean() const {
    return source_ == Source::kOutside ? given_.front().text == "true" : get<bool>(element_);
}

std::vector<Value> Value::items() const {
    std::vector<Value> items;
    if (source_ == Source::kOutside) {
        for (std::size_t at = 0; at < given_.size(); ++at) {
            if (given_[at].member == member_) {
                items.emplace_back(given_.subspan(at), nullptr);  // one of the list
            }
        }
    } else if (source_ == Source::kBody) {
        const auto array = get<simdjson::dom::array>(element_);
        for (const element item : array) {
            items.emplace_back(item);
        }
    }
    return items;
}

std::vector<std::pair<std::string_view, Value>> Value::entries() const {
    std::vector<std::pair<std::string_view, Value>> entries;
    if (source_ == Source::kBody) {
        const auto object = get<simdjson::dom::object>(element_);
        for (const auto& [key, value] : object) {
            entries.emplace_back(key, Value(value));
        }
    }
    return entries;
}

StringPairs Value::pairs() const {
    StringPairs pairs;
    for (const auto& [key, value] : entries()) {
        pairs.emplace_back(key, value.text());
    }
    return pairs;
}

std::string Value::to_text() const {
    if (source_ == Source::kNone) {
        return "null";
    }
    const bool is_list = source_ == Source::kOutside
                             ? member_ != nullptr && member_->type->kind == model::Kind::kList
                             : element_.is_array();
    std::string text;
    if (is_list) {
        for (const Value& item : items()) {
            text += (text.empty() ? "" : ", ") + item.to_text();
        }
        return "[" + text + "]";
    }
    if (source_ == Source::kOutside) {
        return given_.front().text;
    }
    if (element_.is_object()) {
        for (const auto& [key, value] : entries()) {
            text += fmt::format("{}{}={}", text.empty() ? "" : ", ", key, value.to_text());
        }
        return "{" + text + "}";
    }
    if (element_.is_string()) {
        return std::string(this->text());
    }
    if (element_.is_double()) {
        return fmt::format("{}", number());
    }
    return simdjson::minify(element_);
}

Value Request::operator[](std::string_view name) const {
    const model::Member* member = operation_->find_member(name);
    ENSURE(member != nullptr, "the operation has that member");
    for (std::size_t at = 0; at < given_.size(); ++at) {
        if (given_[at].member == member) {
            return {given_.subspan(at), member};
        }
    }
    element found;
    return document_ != nullptr && body_[name].get(found) == simdjson::SUCCESS ? present(found)
                                                                               : Value();
}

}  // namespace hako::registry
