#include <map>
#include <string>

#include <gtest/gtest.h>

#include "engine/instance/environment.h"

namespace hako::instance {
namespace {

// What a runtime sees: a later assignment wins.
std::map<std::string, std::string> read_block(std::string_view block) {
    std::map<std::string, std::string> variables;
    while (!block.empty()) {
        const std::string_view pair = block.substr(0, block.find('\0'));
        const std::size_t split = pair.find('=');
        variables[std::string(pair.substr(0, split))] = pair.substr(split + 1);
        block.remove_prefix(pair.size() + 1);
    }
    return variables;
}

TEST(Environment, HasWhatLambdaSets) {
    registry::FunctionVersion function;
    function.name = "thumbnail";
    function.runtime = "python3.11";
    function.handler = "app.handler";
    function.memory_mib = 256;
    const std::string base =
        environment_base(function, {.region = "eu-west-1", .log_group = "/aws/lambda/thumbnail"});
    const auto seen = read_block(instance_environment(base, "2017/12/14/[$LATEST]ab", false));
    EXPECT_EQ(seen.at("_HANDLER"), "app.handler");
    EXPECT_EQ(seen.at("AWS_REGION"), "eu-west-1");
    EXPECT_EQ(seen.at("AWS_EXECUTION_ENV"), "AWS_Lambda_python3.11");
    EXPECT_EQ(seen.at("AWS_LAMBDA_FUNCTION_NAME"), "thumbnail");
    EXPECT_EQ(seen.at("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), "256");
    EXPECT_EQ(seen.at("AWS_LAMBDA_FUNCTION_VERSION"), "$LATEST");
    EXPECT_EQ(seen.at("AWS_LAMBDA_LOG_GROUP_NAME"), "/aws/lambda/thumbnail");
    EXPECT_EQ(seen.at("AWS_LAMBDA_LOG_STREAM_NAME"), "2017/12/14/[$LATEST]ab");
    EXPECT_EQ(seen.at("AWS_LAMBDA_INITIALIZATION_TYPE"), "on-demand");
    EXPECT_EQ(seen.at("LAMBDA_TASK_ROOT"), "/var/task");
    EXPECT_EQ(seen.at("TZ"), ":UTC");
}

TEST(Environment, UserMayReplaceDefaultsButNotWhatIsReserved) {
    registry::FunctionVersion function;
    function.name = "f";
    function.environment = {{"TZ", "Europe/Berlin"}, {"AWS_REGION", "mars-1"}, {"GREETING", "a=b"}};
    const auto seen = read_block(instance_environment(
        environment_base(function, {.region = "us-east-1", .log_group = "g"}), "s", true
    ));
    EXPECT_EQ(seen.at("TZ"), "Europe/Berlin");
    EXPECT_EQ(seen.at("AWS_REGION"), "us-east-1");
    EXPECT_EQ(seen.at("GREETING"), "a=b");
    EXPECT_EQ(seen.at("AWS_LAMBDA_INITIALIZATION_TYPE"), "provisioned-concurrency");
}

}  // namespace
}  // namespace hako::instance
