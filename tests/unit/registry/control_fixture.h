#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "engine/registry/digest.h"
#include "tests/unit/registry/fixture.h"

namespace hako::registry {

inline constexpr const char* kArn = "arn:aws:lambda:us-east-1:123456789012:function:f";
inline constexpr const char* kUpdating =
    "The operation cannot be performed at this time. An update is in progress for resource: "
    "arn:aws:lambda:us-east-1:123456789012:function:f";
inline constexpr const char* kUnqualified =
    "This operation is permitted on Lambda functions only. Aliases and versions do not support "
    "this operation. Please specify either a function name or an unqualified function ARN.";

inline std::string base64_of(std::string_view text) {
    return to_base64({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

inline std::string message_of(const ControlAnswer& answer) {
    const std::string message = json_at(answer.json, "/message");
    return message == "(none)" ? json_at(answer.json, "/Message") : message;
}

inline std::string constraint(
    const std::string& value, const std::string& path, const std::string& rule
) {
    return "1 validation error detected: Value '" + value + "' at '" + path +
           "' failed to satisfy constraint: " + rule;
}

struct Change {
    FunctionRef before;
    FunctionRef after;
};

class Control : public testing::Test {
protected:
    Control()
        : engine_(
              dir_.path() + "/state",
              {.on_change = [this](
                                const FunctionRef& before, const FunctionRef& after
                            ) { changes_.push_back({before, after}); }}
          ) {}

    ControlAnswer call(
        std::string_view operation, std::string_view json, std::string_view zip = {}
    ) {
        return engine_.call(operation, json, zip);
    }
    void expect_refused(
        const ControlAnswer& answer, int status, std::string_view code, const std::string& message
    ) {
        EXPECT_EQ(answer.status, status) << answer.json;
        EXPECT_EQ(answer.error_code, code);
        EXPECT_EQ(message_of(answer), message);
    }

    TempDir dir_{memory_base()};
    std::vector<Change> changes_;
    Engine engine_;
    const std::string zip_ = python_zip();
};

}  // namespace hako::registry
