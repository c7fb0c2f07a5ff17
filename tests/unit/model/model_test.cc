#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "engine/model/model.h"
#include "engine/model/route.h"

namespace hako::model {
namespace {

std::string_view no_header(std::string_view) {
    return {};
}

/// The operation's name, or the fault in words.
std::string_view operation_of(
    std::string_view method, std::string_view path, std::string_view query = ""
) {
    const auto route = find_route(method, path, query);
    if (route) {
        return route->operation->name;
    }
    return route.error() == RouteFault::kUnknownPath ? "unknown path" : "wrong method";
}

/// A path as a client would send it.
std::string example_path(const Operation& operation) {
    std::string path;
    for (const std::string_view segment : operation.segments) {
        path += '/';
        path += segment.starts_with('{') ? "x%3Ay" : segment;
    }
    return path;
}

TEST(Model, EveryOperationIsFoundByItsNameAndItsRoute) {
    EXPECT_EQ(find_operation("NoSuchOperation"), nullptr);
    for (const Operation& operation : operations()) {
        EXPECT_EQ(find_operation(operation.name), &operation);
        EXPECT_EQ(&operations()[operation.index()], &operation);
        const std::string path = example_path(operation);
        EXPECT_EQ(operation_of(operation.method, path, operation.query), operation.name);
        EXPECT_EQ(operation_of(operation.method, path + "/", operation.query), operation.name);
    }
}

TEST(Model, EveryLabelIsAMember) {
    for (const Operation& operation : operations()) {
        for (const std::string_view segment : operation.segments) {
            if (!segment.starts_with('{') || !operation.is_served) {
                continue;
            }
            const Member* member = operation.find_member(segment.substr(1, segment.size() - 2));
            ASSERT_NE(member, nullptr) << operation.name << segment;
            EXPECT_EQ(member->place, Place::kPath) << operation.name << segment;
            EXPECT_TRUE(member->is_required) << operation.name << segment;
        }
    }
}

TEST(Model, NothingIsThereTwice) {
    std::set<std::string_view> names;
    for (const Type& type : types()) {
        EXPECT_TRUE(names.insert(type.name).second) << type.name;
        std::set<std::string_view> members;
        for (const Member& member : type.members) {
            EXPECT_TRUE(members.insert(member.name).second) << type.name << member.name;
        }
        EXPECT_LE(type.min, type.max) << type.name;
    }
    for (const Operation& operation : operations()) {
        std::set<std::string_view> members;
        for (const Member& member : operation.members) {
            EXPECT_TRUE(members.insert(member.name).second) << operation.name << member.name;
        }
    }
}

TEST(Model, BoundsAreLambdas) {
    const Operation* create = find_operation("CreateFunction");
    ASSERT_NE(create, nullptr);
    EXPECT_EQ(create->find_member("MemorySize")->type->min, 128);
    EXPECT_EQ(create->find_member("MemorySize")->type->max, 10240);
    EXPECT_EQ(create->find_member("Timeout")->type->max, 900);
    EXPECT_EQ(create->status, 201);
    EXPECT_EQ(create->answer->name, "FunctionConfiguration");
    const Type* environment = create->find_member("Environment")->type;
    ASSERT_NE(environment->find_member("Variables"), nullptr);
    EXPECT_TRUE(environment->find_member("Variables")->type->is_sensitive);
    EXPECT_EQ(find_operation("DeleteFunction")->answer, nullptr);
    EXPECT_FALSE(find_operation("CreateCodeSigningConfig")->is_served);
}

TEST(Route, ChoosesByQueryWherePathsAreShared) {
    const std::string provisioned = "/2019-09-30/functions/f/provisioned-concurrency";
    EXPECT_EQ(operation_of("GET", provisioned), "GetProvisionedConcurrencyConfig");
    EXPECT_EQ(operation_of("GET", provisioned, "Qualifier=1"), "GetProvisionedConcurrencyConfig");
    EXPECT_EQ(
        operation_of("GET", provisioned, "MaxItems=3&List=ALL"), "ListProvisionedConcurrencyConfigs"
    );
    EXPECT_EQ(operation_of("GET", "/2018-10-31/layers"), "ListLayers");
    EXPECT_EQ(
        operation_of("GET", "/2018-10-31/layers", "find=LayerVersion&Arn=a"), "GetLayerVersionByArn"
    );
}

TEST(Route, RefusesWhatIsNotThere) {
    for (const char* path :
         {"",
          "/",
          "//",
          "functions",
          "/2015-03-31",
          "/2015-03-31/functions//invocations",
          "/2015-03-31/functions/f/invocations//",
          "/2015-03-31/functions/f/invocations/x",
          "/2016-03-31/functions/f/invocations",
          "/2015-03-31/Functions/f/invocations",
          "/2015-03-31/functions/f/x/invocations"}) {
        EXPECT_EQ(operation_of("POST", path), "unknown path") << path;
    }
    EXPECT_EQ(operation_of("PATCH", "/2015-03-31/functions/f"), "wrong method");
    EXPECT_EQ(operation_of("post", "/2015-03-31/functions"), "wrong method");
}

TEST(Route, GivesLabelsEncodedAndMembersDecoded) {
    const auto route = find_route(
        "POST",
        "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A1%3Afunction%3Af/invocations",
        "Qualifier=%24LATEST"
    );
    ASSERT_TRUE(route);
    EXPECT_EQ(route->label("FunctionName"), "arn%3Aaws%3Alambda%3Aus-east-1%3A1%3Afunction%3Af");
    EXPECT_EQ(route->label("Name"), "");
    const auto given =
        collect_given(*route, "Qualifier=%24LATEST&X-Amz-Date=1", [](std::string_view name) {
            return std::string_view(name == "X-Amz-Log-Type" ? "Tail" : "");
        });
    ASSERT_TRUE(given);
    std::set<std::pair<std::string_view, std::string>> found;
    for (const Given& one : *given) {
        found.emplace(one.member->name, one.text);
    }
    EXPECT_EQ(
        found,
        (std::set<std::pair<std::string_view, std::string>>{
            {"FunctionName", "arn:aws:lambda:us-east-1:1:function:f"},
            {"LogType", "Tail"},
            {"Qualifier", "$LATEST"},
        })
    );
}

TEST(Route, CollectsEveryItemOfAList) {
    const auto route = find_route("DELETE", "/2017-03-31/tags/arn", "");
    ASSERT_TRUE(route);
    const auto given = collect_given(*route, "tagKeys=a+b&tagKeys=c%2Bd&other=%41", no_header);
    ASSERT_TRUE(given);
    ASSERT_EQ(given->size(), 3U);
    EXPECT_EQ((*given)[0].text, "arn");
    EXPECT_EQ((*given)[1].text, "a b");
    EXPECT_EQ((*given)[2].text, "c+d");
}

TEST(Route, RefusesBrokenPercentSigns) {
    EXPECT_EQ(percent_decode("a%2Fb%2f", false), "a/b/");
    EXPECT_EQ(percent_decode("a+b", false), "a+b");
    EXPECT_EQ(percent_decode("", true), "");
    for (const char* bad : {"%", "%4", "%4g", "%g4", "a%", "%%41"}) {
        EXPECT_FALSE(percent_decode(bad, false)) << bad;
        const auto route = find_route("GET", "/2015-03-31/functions/f", "");
        ASSERT_TRUE(route);
        EXPECT_FALSE(collect_given(*route, std::string("Qualifier=") + bad, no_header)) << bad;
    }
}

}  // namespace
}  // namespace hako::model
