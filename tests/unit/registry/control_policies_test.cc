#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/unit/registry/control_fixture.h"

namespace hako::registry {
namespace {

const std::string kBad = "InvalidParameterValueException";
const std::string kMissing = "ResourceNotFoundException";

class Policies : public Control {
protected:
    void SetUp() override { ASSERT_EQ(engine_.create("f", zip_).status, 201); }

    ControlAnswer add(const std::string& sid, const std::string& principal, std::string more = "") {
        return call(
            "AddPermission",
            fmt::format(
                R"({{"FunctionName":"f","StatementId":"{}","Action":"lambda:InvokeFunction",)"
                R"("Principal":"{}"{}}})",
                sid,
                principal,
                more
            )
        );
    }
    std::string statement(const std::string& sid, const std::string& principal, std::string more) {
        return json_at(add(sid, principal, more).json, "/Statement");
    }
};

TEST_F(Policies, StatementsAreWrittenAsLambdaDoes) {
    EXPECT_EQ(
        statement(
            "s3",
            "s3.amazonaws.com",
            R"(,"SourceArn":"arn:aws:s3:::b","SourceAccount":"111122223333")"
        ),
        std::string(R"({"Sid":"s3","Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},)") +
            R"("Action":"lambda:InvokeFunction","Resource":")" + kArn +
            R"(","Condition":{"StringEquals":{"AWS:SourceAccount":"111122223333"},)"
            R"("ArnLike":{"AWS:SourceArn":"arn:aws:s3:::b"}}})"
    );
    EXPECT_EQ(
        statement("account", "111122223333", ""),
        std::string(
            R"({"Sid":"account","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},)"
        ) + R"("Action":"lambda:InvokeFunction","Resource":")" +
            kArn + "\"}"
    );
    EXPECT_EQ(json_at(statement("all", "*", ""), "/Principal"), "*");
    EXPECT_EQ(
        json_at(statement("user", "arn:aws:iam::111122223333:user/u", ""), "/Principal/AWS"),
        "arn:aws:iam::111122223333:user/u"
    );
    const ControlAnswer get = call("GetPolicy", R"({"FunctionName":"f"})");
    const std::string policy = json_at(get.json, "/Policy");
    EXPECT_TRUE(
        policy.starts_with(R"({"Version":"2012-10-17","Id":"default","Statement":[{"Sid":"s3")")
    ) << policy;
    EXPECT_EQ(json_at(policy, "/Statement/3/Sid"), "user");
    EXPECT_EQ(json_at(get.json, "/RevisionId"), engine_.registry->get("f")->revision_id);
    EXPECT_EQ(engine_.registry->policy("f", "")->size(), 4U);
    EXPECT_EQ(engine_.registry->policy("f", "1"), nullptr);
}

TEST_F(Policies, AreRefusedWithLambdasTexts) {
    ASSERT_EQ(add("s", "*").status, 201);
    expect_refused(
        add("s", "*"),
        409,
        "ResourceConflictException",
        "The statement id (s) provided already exists. Please provide a new statement id, or "
        "remove the existing statement."
    );
    expect_refused(
        add("t", "nobody"),
        400,
        kBad,
        "The provided principal was invalid. Please check the principal and try again."
    );
    expect_refused(
        add("t", "*", R"(,"Qualifier":"$LATEST")"),
        400,
        kBad,
        "We currently do not support adding policies for $LATEST."
    );
    EXPECT_EQ(add("t", "*", R"(,"Qualifier":"1")").status, 404);
    expect_refused(
        add("t", "*", R"(,"RevisionId":"x")"),
        412,
        "PreconditionFailedException",
        "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to "
        "retrieve the latest Revision Id"
    );
    const auto remove = [this](const std::string& sid, const std::string& name) {
        return call(
            "RemovePermission",
            fmt::format(R"({{"FunctionName":"{}","StatementId":"{}"}})", name, sid)
        );
    };
    expect_refused(remove("t", "f"), 404, kMissing, "Statement t is not found in resource policy.");
    engine_.create("g", zip_);
    expect_refused(
        remove("t", "g"), 404, kMissing, "No policy is associated with the given resource."
    );
    expect_refused(
        call("GetPolicy", R"({"FunctionName":"g"})"),
        404,
        kMissing,
        "The resource you requested does not exist."
    );
    EXPECT_EQ(remove("s", "f").status, 204);
    EXPECT_EQ(call("GetPolicy", R"({"FunctionName":"f"})").status, 404);
}

TEST_F(Policies, EveryQualifierHasItsOwn) {
    ASSERT_EQ(call("PublishVersion", R"({"FunctionName":"f"})").status, 201);
    ASSERT_EQ(
        call("CreateAlias", R"({"FunctionName":"f","Name":"a","FunctionVersion":"1"})").status, 201
    );
    ASSERT_EQ(add("one", "*", R"(,"Qualifier":"1")").status, 201);
    ASSERT_EQ(add("two", "*", R"(,"Qualifier":"a")").status, 201);
    EXPECT_EQ(call("GetPolicy", R"({"FunctionName":"f"})").status, 404);
    const ControlAnswer of_alias = call("GetPolicy", R"({"FunctionName":"f:a"})");
    EXPECT_EQ(
        json_at(json_at(of_alias.json, "/Policy"), "/Statement/0/Resource"),
        std::string(kArn) + ":a"
    );
    EXPECT_EQ(
        json_at(of_alias.json, "/RevisionId"),
        engine_.registry->function("f")->alias("a")->revision_id
    );
    // What it hung on takes it along.
    ASSERT_EQ(call("DeleteAlias", R"({"FunctionName":"f","Name":"a"})").status, 204);
    ASSERT_EQ(
        call("CreateAlias", R"({"FunctionName":"f","Name":"a","FunctionVersion":"1"})").status, 201
    );
    EXPECT_EQ(call("GetPolicy", R"({"FunctionName":"f:a"})").status, 404);
    EXPECT_EQ(call("GetPolicy", R"({"FunctionName":"f:1"})").status, 200);
}

TEST_F(Policies, AreBounded) {
    const std::string sid(90, 's');
    int added_count = 0;
    ControlAnswer last;
    do {
        last = add(fmt::format("{}{}", sid, added_count), "*");
        ++added_count;
    } while (last.status == 201 && added_count < 1000);
    EXPECT_EQ(last.status, 400);
    EXPECT_EQ(last.error_code, "PolicyLengthExceededException");
    const std::string policy =
        json_at(call("GetPolicy", R"({"FunctionName":"f"})").json, "/Policy");
    EXPECT_LE(policy.size(), 20480U);
    EXPECT_GT(policy.size(), 20000U);
}

TEST_F(Policies, TagsAreOfTheWholeFunction) {
    const std::string resource = R"({"Resource":")" + std::string(kArn) + "\"";
    EXPECT_EQ(call("TagResource", resource + R"(,"Tags":{"a":"1","b":"2"}})").status, 204);
    EXPECT_EQ(call("TagResource", resource + R"(,"Tags":{"a":"3"}})").status, 204);
    EXPECT_EQ(json_at(call("ListTags", resource + "}").json, "/Tags/a"), "3");
    EXPECT_EQ(json_at(call("GetFunction", R"({"FunctionName":"f"})").json, "/Tags/b"), "2");
    EXPECT_EQ(call("UntagResource", resource + R"(,"TagKeys":["a","z"]})").status, 204);
    EXPECT_EQ(json_at(call("ListTags", resource + "}").json, "/Tags/a"), "(none)");
    expect_refused(
        call("ListTags", R"({"Resource":")" + std::string(kArn) + ":1\"}"),
        400,
        kBad,
        "Tags on function aliases and versions are not supported. Please specify a function ARN."
    );
    std::string many;
    for (int at = 0; at < 50; ++at) {
        many += fmt::format("{}\"k{}\":\"v\"", at == 0 ? "" : ",", at);
    }
    expect_refused(
        call("TagResource", resource + R"(,"Tags":{)" + many + "}}"),
        400,
        kBad,
        "Number of tags exceeds resource tag limit."
    );
}

}  // namespace
}  // namespace hako::registry
