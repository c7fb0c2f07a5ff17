#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "engine/registry/request.h"

namespace hako::registry {
namespace {

constexpr std::string_view kRole = "arn:aws:iam::123456789012:role/r";

const RequestReader& reader() {
    static const RequestReader instance;
    return instance;
}

std::expected<Request, ApiError> read(std::string_view operation, std::string_view json) {
    return reader().read(*model::find_operation(operation), {}, json);
}

/// The error as `code: message`, or `good`.
std::string outcome(std::string_view operation, std::string_view json) {
    const auto request = read(operation, json);
    return request ? "good" : request.error().code + ": " + request.error().message;
}

std::string broken(std::string_view faults, int count = 1) {
    return "ValidationException: " + std::to_string(count) + " validation error" +
           (count == 1 ? "" : "s") + " detected: " + std::string(faults);
}

TEST(Request, ReportsEveryBrokenConstraintInLambdasWords) {
    EXPECT_EQ(
        outcome("CreateFunction", R"({"FunctionName":"f","MemorySize":64})"),
        broken("Value '64' at 'memorySize' failed to satisfy constraint: Member must have value "
               "greater than or equal to 128")
    );
    EXPECT_EQ(
        outcome("CreateFunction", R"({"FunctionName":"f","Timeout":901,"Role":"x"})"),
        broken(
            "Value 'x' at 'role' failed to satisfy constraint: Member must satisfy regular "
            "expression pattern: arn:(aws[a-zA-Z-]*)?:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+; "
            "Value '901' at 'timeout' failed to satisfy constraint: Member must have value less "
            "than or equal to 900",
            2
        )
    );
    EXPECT_EQ(
        outcome("PutFunctionConcurrency", "{}"),
        broken(
            "Value null at 'functionName' failed to satisfy constraint: Member must not be null; "
            "Value null at 'reservedConcurrentExecutions' failed to satisfy constraint: Member "
            "must not be null",
            2
        )
    );
    EXPECT_EQ(
        outcome("CreateFunction", R"({"FunctionName":"f","PackageType":"Tar"})"),
        broken("Value 'Tar' at 'packageType' failed to satisfy constraint: Member must satisfy "
               "enum value set: [Zip, Image]")
    );
}

TEST(Request, SaysWhatItemsKeysAndValuesMustSatisfy) {
    EXPECT_EQ(
        outcome("CreateFunction", R"({"FunctionName":"f","Architectures":["x86"]})"),
        broken("Value '[x86]' at 'architectures' failed to satisfy constraint: Member must satisfy "
               "constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not "
               "be null]")
    );
    EXPECT_EQ(
        outcome("CreateFunction", R"({"FunctionName":"f","Architectures":["x86_64","arm64"]})"),
        broken("Value '[x86_64, arm64]' at 'architectures' failed to satisfy constraint: Member "
               "must have length less than or equal to 1")
    );
    EXPECT_EQ(
        outcome(
            "CreateAlias",
            R"({"FunctionName":"f","Name":"a","FunctionVersion":"1",
                "RoutingConfig":{"AdditionalVersionWeights":{"x":0.5}}})"
        ),
        broken("Value '{x=0.5}' at 'routingConfig.additionalVersionWeights' failed to satisfy "
               "constraint: Map keys must satisfy constraint: [Member must have length less than "
               "or equal to 1024, Member must have length greater than or equal to 1, Member must "
               "satisfy regular expression pattern: [0-9]+, Member must not be null]")
    );
    EXPECT_EQ(
        outcome(
            "CreateAlias",
            R"({"FunctionName":"f","Name":"a","FunctionVersion":"1",
                "RoutingConfig":{"AdditionalVersionWeights":{"2":1.5}}})"
        ),
        broken("Value '{2=1.5}' at 'routingConfig.additionalVersionWeights' failed to satisfy "
               "constraint: Map value must satisfy constraint: [Member must have value less than "
               "or equal to 1, Member must have value greater than or equal to 0, Member must not "
               "be null]")
    );
    // The variables are sensitive: not repeated.
    EXPECT_EQ(
        outcome(
            "CreateFunction", R"({"FunctionName":"f","Environment":{"Variables":{"1":"secret"}}})"
        ),
        broken("Value at 'environment.variables' failed to satisfy constraint: Map keys must "
               "satisfy constraint: [Member must satisfy regular expression pattern: "
               "[a-zA-Z]([a-zA-Z0-9_])+, Member must not be null]")
    );
}

TEST(Request, CountsCharactersNotBytes) {
    std::string text;
    for (int at = 0; at < 256; ++at) {
        text += "\xc3\xa9";
    }
    const auto with = [](const std::string& description) {
        return R"({"FunctionName":"f","Description":")" + description + "\"}";
    };
    EXPECT_EQ(outcome("CreateFunction", with(text)), "good");
    EXPECT_NE(outcome("CreateFunction", with(text + "x")), "good");
}

TEST(Request, MatchesPatternsAsJavaDoes) {
    const auto alias = [](std::string_view name) {
        return outcome("GetAlias", R"({"FunctionName":"f","Name":")" + std::string(name) + "\"}");
    };
    EXPECT_EQ(alias("live"), "good");
    EXPECT_EQ(alias("1a"), "good");
    EXPECT_NE(alias("12"), "good");       // looks like a version
    EXPECT_NE(alias("live\\n"), "good");  // `$` would let a last newline through
    EXPECT_NE(alias("li.ve"), "good");
    const auto bucket = [](std::string_view name) {
        return outcome(
            "UpdateFunctionCode", R"({"FunctionName":"f","S3Bucket":")" + std::string(name) + "\"}"
        );
    };
    EXPECT_EQ(bucket("a.b-c"), "good");
    EXPECT_NE(bucket("a.b."), "good");
    const auto role = [](std::string_view arn) {
        return outcome(
            "CreateFunction", R"({"FunctionName":"f","Role":")" + std::string(arn) + "\"}"
        );
    };
    EXPECT_EQ(role(kRole), "good");
    EXPECT_EQ(role("arn:aws-us-gov:iam::123456789012:role/path/r"), "good");
    EXPECT_NE(role("arn:aws:iam::12345678901:role/r"), "good");
    EXPECT_NE(role("arn:aws:iam::123456789012:role/a b"), "good");
    const auto tag = [](std::string_view key) {
        return outcome(
            "CreateFunction", R"({"FunctionName":"f","Tags":{")" + std::string(key) + "\":\"v\"}}"
        );
    };
    EXPECT_EQ(
        tag("Stra\xc3\x9f"
            "e 1"),
        "good"
    );  // \p{L} knows more than ASCII
    EXPECT_NE(tag("a!b"), "good");
}

TEST(Request, AHostilePatternTextEndsSoon) {
    const std::string arn = "arn:aws:x:" + std::string(9000, 'a');
    EXPECT_NE(
        outcome(
            "AddPermission",
            R"({"FunctionName":"f","StatementId":"s","Action":"lambda:*","Principal":"*",
                "SourceArn":")" +
                arn + "\"}"
        ),
        "good"
    );
}

TEST(Request, RefusesWrongTypesUnknownMembersAndMembersTwice) {
    const std::string bad =
        "InvalidRequestContentException: Could not parse request body into json: ";
    EXPECT_EQ(
        outcome("CreateFunction", R"({"FunctionName":1})"), bad + "'FunctionName' must be a string"
    );
    EXPECT_EQ(
        outcome("CreateFunction", R"({"MemorySize":128.5})"),
        bad + "'MemorySize' must be an integer"
    );
    EXPECT_EQ(
        outcome("CreateFunction", R"({"Environment":{"Variables":{"A":1}}})"),
        bad + "'Environment.Variables.A' must be a string"
    );
    EXPECT_EQ(
        outcome("CreateFunction", R"({"Environment":[]})"), bad + "'Environment' must be an object"
    );
    EXPECT_EQ(
        outcome("CreateFunction", R"({"Code":{"ZipFile":"!"}})"),
        bad + "'Code.ZipFile' must be base64"
    );
    EXPECT_EQ(
        outcome("CreateFunction", R"({"Tags":{"a":"1","a":"2"}})"), bad + "'Tags.a' is there twice"
    );
    EXPECT_EQ(
        outcome("GetFunction", R"({"Qualifier":"1","Qualifier":"1"})"),
        bad + "'Qualifier' is there twice"
    );
    EXPECT_EQ(
        outcome("CreateFunction", R"({"memorySize":128})"),
        "InvalidParameterValueException: Member 'memorySize' is not known to CreateFunction: hako "
        "does not ignore what it does not know."
    );
}

TEST(Request, RefusesWhatHakoDoesNotHaveUnlessItAsksForNothing) {
    EXPECT_EQ(
        outcome("CreateFunction", R"({"FunctionName":"f","VpcConfig":{"SubnetIds":["subnet-1"]}})"),
        "InvalidParameterValueException: Member 'VpcConfig' is not supported by hako: leave it out "
        "or empty."
    );
    EXPECT_EQ(
        outcome("CreateFunction", R"({"FunctionName":"f","VpcConfig":{"SubnetIds":[]}})"), "good"
    );
    EXPECT_EQ(
        outcome(
            "CreateFunction", R"({"FunctionName":"f","SnapStart":{"ApplyOn":"PublishedVersions"}})"
        ),
        "InvalidParameterValueException: Member 'SnapStart.ApplyOn' is not supported by hako but "
        "for "
        "'None'."
    );
}

TEST(Request, TakesMembersFromOutsideOfTheBody) {
    const auto route = model::find_route("GET", "/2015-03-31/functions/", "MaxItems=7");
    ASSERT_TRUE(route);
    const auto none = [](std::string_view) { return std::string_view(); };
    const auto given = model::collect_given(*route, "MaxItems=7&Marker=%C3%A9", none);
    ASSERT_TRUE(given);
    const auto request = reader().read(*route->operation, *given, "");
    ASSERT_TRUE(request);
    EXPECT_EQ((*request)["MaxItems"].integer(), 7);
    EXPECT_EQ((*request)["Marker"].text(), "\xc3\xa9");
    EXPECT_FALSE((*request)["FunctionVersion"]);
    const auto code_of = [&](std::string_view query, std::string_view body) {
        const auto more = model::collect_given(*route, query, none);
        const auto result = reader().read(*route->operation, *more, body);
        return result ? "good" : result.error().code;
    };
    EXPECT_EQ(code_of("MaxItems=x", ""), "SerializationException");
    EXPECT_EQ(code_of("MaxItems=1%20", ""), "SerializationException");
    EXPECT_EQ(code_of("MaxItems=99999999999999999999", ""), "SerializationException");
    EXPECT_EQ(code_of("MaxItems=0", ""), "ValidationException");
    EXPECT_EQ(code_of("Marker=%FF", ""), "SerializationException");
    EXPECT_EQ(code_of("Marker=a&Marker=b", ""), "InvalidRequestContentException");
    EXPECT_EQ(code_of("Marker=a", R"({"Marker":"b"})"), "InvalidRequestContentException");
    EXPECT_EQ(code_of("Marker=a", R"({"MaxItems":5})"), "good");
}

TEST(Request, ReadsEveryKindOfValue) {
    const auto request = read(
        "CreateFunction",
        R"({"FunctionName":"f","Publish":false,"Timeout":9,"Code":{"ZipFile":"AAEC"},
            "Architectures":["x86_64"],"Tags":{"b":"1","a":"2"},"Description":null})"
    );
    ASSERT_TRUE(request) << request.error().message;
    ASSERT_TRUE((*request)["Publish"]);
    EXPECT_FALSE((*request)["Publish"].boolean());
    EXPECT_EQ((*request)["Timeout"].integer(), 9);
    EXPECT_FALSE((*request)["Description"]);
    EXPECT_FALSE((*request)["Environment"]["Variables"]);
    EXPECT_EQ((*request)["Architectures"].items().front().text(), "x86_64");
    EXPECT_EQ((*request)["Tags"].pairs(), (StringPairs{{"b", "1"}, {"a", "2"}}));
    ASSERT_TRUE(request->blob());
    EXPECT_EQ(request->blob()->size(), 3U);
}

}  // namespace
}  // namespace hako::registry
