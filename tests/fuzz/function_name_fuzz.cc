#include <regex>

#include "engine/base/ensure.h"
#include "engine/registry/function_name.h"
#include "engine/registry/json_reader.h"
#include "engine/registry/validation.h"
#include "tests/fuzz/fuzz.h"

// Names and ARNs as clients write them, and the other hand-written matchers, against the regular
// expressions of the API model that they stand for. Byte 0 chooses the shape, then a text of its
// own length (the qualifier), then the name.

namespace {

using namespace hako::registry;
namespace fuzz = hako::fuzz;

bool matches(std::string_view text, const std::regex& re) {
    return std::regex_match(text.begin(), text.end(), re);
}

const std::regex& name_pattern(NameShape shape) {
    static const std::regex function_name{std::string(kFunctionNamePattern)};
    static const std::regex namespaced{std::string(kNamespacedNamePattern)};
    return shape == NameShape::kFunctionName ? function_name : namespaced;
}

bool is_known_gap(std::string_view text) {
    // The model would let an ARN be cut short (`arn:aws:lambda:NAME`), and knows the qualifier of a
    // feature that hako does not have: both are refused.
    return text.starts_with("arn:") || text.ends_with(":$LATEST.PUBLISHED");
}

void check_name(std::string_view text, NameShape shape) {
    const auto parts = parse_function_name(text, shape);
    const bool is_match = matches(text, name_pattern(shape));
    if (parts) {
        ENSURE(is_match, "what is taken satisfies the model's pattern");
        ENSURE(!parts->name.empty() && parts->name.size() <= 64, "a name has 1 to 64 characters");
        for (const std::string_view part :
             {parts->region, parts->account, parts->name, parts->qualifier}) {
            ENSURE(fuzz::lies_in(part, text), "parts are views into the text");
        }
        return;
    }
    ENSURE(parts.error().status == 400, "a bad name is the client's fault");
    JsonDocument document;
    const std::string body = parts.error().to_json();
    ENSURE(document.parse(body).has_value(), "the error is JSON, whatever it quotes");
    const std::size_t max = shape == NameShape::kFunctionName ? 140 : 256;
    const bool too_long =
        text.size() > max || parts.error().message.find("equal to 64") != std::string::npos;
    ENSURE(!is_match || too_long || is_known_gap(text), "what the pattern allows is taken");
}

void check_patterns(std::string_view text) {
    static const std::regex qualifier{std::string(kQualifierPattern)};
    ENSURE(
        is_qualifier(text) == (text.size() <= 128 && matches(text, qualifier)), "qualifier pattern"
    );
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    fuzz::Input input(data, bytes);
    const auto shape =
        (input.take<std::uint8_t>() & 1U) != 0 ? NameShape::kFunctionName : NameShape::kNamespaced;
    const std::string_view qualifier = input.take_text();
    // std::regex goes one frame deeper for each character.
    const std::string_view text = input.take_bytes(400);
    check_name(text, shape);
    check_patterns(text);
    const Identity identity;
    const auto resolved = resolve_function_name(text, qualifier, shape, identity);
    if (resolved) {
        ENSURE(
            resolved->account.empty() || resolved->account == identity.account,
            "the account is ours"
        );
        ENSURE(qualifier.empty() || resolved->qualifier == qualifier, "the qualifier holds");
    }
    return 0;
}
