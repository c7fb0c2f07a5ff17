#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "engine/registry/validation.h"
#include "tests/unit/registry/control_fixture.h"

namespace hako::registry {
namespace {

struct Refused {
    std::string members;  // of CreateFunction, behind FunctionName, Runtime and Handler
    std::string code;
    std::string message;
};

std::vector<Refused> broken_constraints() {
    const std::string validation = "ValidationException";
    const std::string d257(257, 'd');
    return {
        {R"("MemorySize":64)",
         validation,
         constraint("64", "memorySize", "Member must have value greater than or equal to 128")},
        {R"("MemorySize":10241)",
         validation,
         constraint("10241", "memorySize", "Member must have value less than or equal to 10240")},
        {R"("Timeout":0)",
         validation,
         constraint("0", "timeout", "Member must have value greater than or equal to 1")},
        {R"("Timeout":901)",
         validation,
         constraint("901", "timeout", "Member must have value less than or equal to 900")},
        {R"("EphemeralStorage":{"Size":511})",
         validation,
         constraint(
             "511", "ephemeralStorage.size", "Member must have value greater than or equal to 512"
         )},
        {R"("Timeout":0,"MemorySize":1)",
         validation,
         "2 validation errors detected: Value '0' at 'timeout' failed to satisfy constraint: "
         "Member must have value greater than or equal to 1; Value '1' at 'memorySize' failed to "
         "satisfy constraint: Member must have value greater than or equal to 128"},
        {R"("Description":")" + d257 + "\"",
         validation,
         constraint(d257, "description", "Member must have length less than or equal to 256")},
        {R"("Role":"me")",
         validation,
         constraint(
             "me",
             "role",
             "Member must satisfy regular expression pattern: "
             "arn:(aws[a-zA-Z-]*)?:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+"
         )},
        {R"("PackageType":"Tar")",
         validation,
         constraint("Tar", "packageType", "Member must satisfy enum value set: [Zip, Image]")},
        {R"("TracingConfig":{"Mode":"On"})",
         validation,
         constraint(
             "On", "tracingConfig.mode", "Member must satisfy enum value set: [Active, PassThrough]"
         )},
    };
}

std::vector<Refused> broken_values() {
    const std::string parameter = "InvalidParameterValueException";
    const std::string validation = "ValidationException";
    const std::string content = "InvalidRequestContentException";
    const std::string json = "Could not parse request body into json: ";
    const std::string long_value(4096, 'v');
    return {
        {R"("Environment":{"Variables":{"1a":"x"}})",
         validation,
         "1 validation error detected: Value at 'environment.variables' failed to satisfy "
         "constraint: Map keys must satisfy constraint: [Member must satisfy regular expression "
         "pattern: [a-zA-Z]([a-zA-Z0-9_])+, Member must not be null]"},
        {R"("Environment":{"Variables":{"AWS_REGION":"x","ok":"y","LAMBDA_TASK_ROOT":"z"}})",
         parameter,
         "Lambda was unable to configure your environment variables because the environment "
         "variables you have provided contains reserved keys that are currently not supported for "
         "modification. Reserved keys used in this request: AWS_REGION, LAMBDA_TASK_ROOT"},
        {R"("Environment":{"Variables":{"kk":")" + long_value + "\"}}",
         parameter,
         "Lambda was unable to configure your environment variables because the environment "
         "variables you have provided exceeded the 4KB limit. String measured: {\"kk\":\"" +
             long_value + "\"}"},
        {R"("Environment":{"Variables":{"kk":"a\u0000b"}})",
         parameter,
         "The value of the environment variable 'kk' has a NUL in it."},
        {R"("Environment":{"Variables":{"kk":"a","kk":"b"}})",
         content,
         json + "'Environment.Variables.kk' is there twice"},
        {R"("Environment":{"Variables":{"kk":1}})",
         content,
         json + "'Environment.Variables.kk' must be a string"},
        {R"("Environment":{"Vars":{}})",
         parameter,
         "Member 'Vars' is not known to Environment: hako does not ignore what it does not know."},
        {R"("Memory":128)",
         parameter,
         "Member 'Memory' is not known to CreateFunction: hako does not ignore what it does not "
         "know."},
        {R"("RevisionId":"x")",
         parameter,
         "Member 'RevisionId' is not known to CreateFunction: hako does not ignore what it does "
         "not know."},
        {R"("MemorySize":"128")", content, json + "'MemorySize' must be an integer"},
        {R"("MemorySize":128.5)", content, json + "'MemorySize' must be an integer"},
        {R"("Description":5)", content, json + "'Description' must be a string"},
        {R"("Timeout":3,"Timeout":4)", content, json + "'Timeout' is there twice"},
    };
}

std::vector<Refused> absent_features() {
    const std::string parameter = "InvalidParameterValueException";
    const std::string content = "InvalidRequestContentException";
    const std::string unsupported = " is not supported by hako: leave it out or empty.";
    const std::string json = "Could not parse request body into json: ";
    return {
        {R"("Layers":["arn:x"])", parameter, "Member 'Layers'" + unsupported},
        {R"("VpcConfig":{"SubnetIds":["subnet-1"]})", parameter, "Member 'VpcConfig'" + unsupported
        },
        {R"("KMSKeyArn":"arn:x")", parameter, "Member 'KMSKeyArn'" + unsupported},
        {R"("FileSystemConfigs":[{}])", parameter, "Member 'FileSystemConfigs'" + unsupported},
        {R"("PackageType":"Image")",
         parameter,
         "Member 'PackageType' is not supported by hako but for 'Zip'."},
        {R"("SnapStart":{"ApplyOn":"PublishedVersions"})",
         parameter,
         "Member 'SnapStart.ApplyOn' is not supported by hako but for 'None'."},
        {R"("LoggingConfig":{"LogGroup":"mine"})",
         parameter,
         "Member 'LoggingConfig.LogGroup' is not supported by hako but for '/aws/lambda/f'."},
        {R"("Code":{"S3Bucket":"bucket","S3Key":"key"})",
         parameter,
         "Please do not provide other FunctionCode parameters when providing a ZipFile."},
        {R"("Code":{"ZipFile":"!"})", content, json + "'Code.ZipFile' must be base64"},
        {R"("Code":{"ZipFile":""})",
         parameter,
         "The code package was given twice: as the frame's payload and as ZipFile."},
        {R"("Handler":" ")", content, json + "'Handler' is there twice"},
    };
}

TEST_F(Control, CreateAnswersWithEveryMemberAndDefault) {
    const ControlAnswer answer = call(
        "CreateFunction",
        R"({"FunctionName":"f","Runtime":"python3.12","Handler":"handler.handle"})",
        zip_
    );
    ASSERT_EQ(answer.status, 201) << answer.json;
    const std::vector<std::pair<const char*, std::string>> expected = {
        {"/FunctionName", "f"},
        {"/FunctionArn", kArn},
        {"/Runtime", "python3.12"},
        {"/Role", "arn:aws:iam::123456789012:role/hako"},
        {"/Handler", "handler.handle"},
        {"/CodeSize", std::to_string(zip_.size())},
        {"/CodeSha256", to_base64(sha256(bytes_of(zip_)))},
        {"/Description", ""},
        {"/Timeout", "3"},
        {"/MemorySize", "128"},
        {"/Version", "$LATEST"},
        {"/TracingConfig/Mode", "PassThrough"},
        {"/State", "Active"},
        {"/PackageType", "Zip"},
        {"/EphemeralStorage/Size", "512"},
        {"/SnapStart/ApplyOn", "None"},
        {"/SnapStart/OptimizationStatus", "Off"},
        {"/LoggingConfig/LogFormat", "Text"},
        {"/LoggingConfig/LogGroup", "/aws/lambda/f"},
        {"/Environment", "(none)"},
        {"/LastUpdateStatus", "(none)"},
    };
    for (const auto& [pointer, value] : expected) {
        EXPECT_EQ(json_at(answer.json, pointer), value) << pointer;
    }
    EXPECT_EQ(json_at(answer.json, "/RevisionId").size(), 36U);
    EXPECT_EQ(json_at(answer.json, "/LastModified").size(), 28U);
    ASSERT_EQ(changes_.size(), 1U);
    EXPECT_EQ(changes_[0].before, nullptr);
    EXPECT_EQ(changes_[0].after, engine_.registry->get("f"));
}

TEST_F(Control, CreateTakesEveryMember) {
    const ControlAnswer answer = call(
        "CreateFunction",
        R"({"FunctionName":")" + std::string(kArn) +
            R"(","Runtime":"executable","Handler":"bin/run",
            "Role":"arn:aws:iam::123456789012:role/r","Description":"d","Timeout":900,
            "MemorySize":10240,"Publish":false,"VpcConfig":{"SubnetIds":[],"SecurityGroupIds":[]},
            "PackageType":"Zip","DeadLetterConfig":{},"Environment":{"Variables":{"Kk":"v\"1"}},
            "KMSKeyArn":"","TracingConfig":{"Mode":"Active"},"Tags":{"a":"b"},"Layers":[],
            "FileSystemConfigs":null,"Architectures":["x86_64"],"EphemeralStorage":{"Size":1024},
            "SnapStart":{"ApplyOn":"None"},
            "LoggingConfig":{"LogFormat":"Text","LogGroup":"/aws/lambda/f"},
            "Code":{"ZipFile":")" +
            base64_of(zip_) + "\"}}"
    );
    ASSERT_EQ(answer.status, 201) << answer.json;
    const FunctionRef function = engine_.registry->get("f");
    ASSERT_NE(function, nullptr);
    EXPECT_EQ(function->kind, spawner::RuntimeKind::kExecutable);
    EXPECT_EQ(function->timeout_s, 900U);
    EXPECT_EQ(function->memory_mib, 10240U);
    EXPECT_EQ(function->ephemeral_mib, 1024U);
    EXPECT_EQ(json_at(answer.json, "/Environment/Variables/Kk"), "v\"1");
    EXPECT_EQ(json_at(answer.json, "/TracingConfig/Mode"), "Active");
    const ControlAnswer get = call("GetFunction", R"({"FunctionName":"f"})");
    EXPECT_EQ(json_at(get.json, "/Tags/a"), "b");
    EXPECT_EQ(json_at(get.json, "/Configuration/LastUpdateStatus"), "Successful");
    EXPECT_EQ(json_at(get.json, "/Code/RepositoryType"), "S3");
    EXPECT_EQ(
        json_at(get.json, "/Code/Location"),
        "file://" + dir_.path() + "/state/code/" + function->code_id + ".zip"
    );
}

TEST_F(Control, ShowsAnEmptyEnvironmentThatWasGiven) {
    const ControlAnswer answer = call(
        "CreateFunction",
        R"({"FunctionName":"f","Runtime":"python3.8","Handler":"a.b","Environment":{}})",
        zip_
    );
    EXPECT_EQ(json_at(answer.json, "/Environment"), R"({"Variables":{}})");
}

TEST_F(Control, CreateRefusesWithLambdasTexts) {
    std::vector<Refused> cases = broken_constraints();
    std::ranges::move(broken_values(), std::back_inserter(cases));
    std::ranges::move(absent_features(), std::back_inserter(cases));
    for (const Refused& refused : cases) {
        const ControlAnswer answer = call(
            "CreateFunction",
            R"({"FunctionName":"f","Runtime":"python3.12","Handler":"a.b",)" + refused.members +
                "}",
            zip_
        );
        EXPECT_EQ(answer.status, 400) << refused.members;
        EXPECT_EQ(answer.error_code, refused.code) << refused.members;
        EXPECT_EQ(message_of(answer), refused.message) << refused.members;
    }
    EXPECT_EQ(engine_.registry->functions_count(), 0U);
    EXPECT_TRUE(tree_of(dir_.path() + "/state/code").empty());
    EXPECT_TRUE(changes_.empty());
}

TEST_F(Control, CreateRefusesWhatIsMissing) {
    const std::string runtime_and_handler =
        "Runtime and Handler are mandatory parameters for functions created with deployment "
        "packages.";
    expect_refused(
        call("CreateFunction", R"({"Runtime":"native","Handler":"h"})", zip_),
        400,
        "ValidationException",
        "1 validation error detected: Value null at 'functionName' failed to satisfy constraint: "
        "Member must not be null"
    );
    expect_refused(
        call("CreateFunction", R"({"FunctionName":"f","Runtime":"native","Handler":"h"})"),
        400,
        "ValidationException",
        "1 validation error detected: Value null at 'code' failed to satisfy constraint: Member "
        "must not be null"
    );
    expect_refused(
        call("CreateFunction", R"({"FunctionName":"f","Runtime":"native"})", zip_),
        400,
        "InvalidParameterValueException",
        runtime_and_handler
    );
    expect_refused(
        call("CreateFunction", R"({"FunctionName":"f","Handler":"h"})", zip_),
        400,
        "InvalidParameterValueException",
        runtime_and_handler
    );
    expect_refused(
        call(
            "CreateFunction", R"({"FunctionName":"f","Runtime":"native","Handler":"h","Code":{}})"
        ),
        400,
        "InvalidParameterValueException",
        "Please provide a source for function code."
    );
    expect_refused(
        call(
            "CreateFunction",
            R"({"FunctionName":"f","Runtime":"native","Handler":"h","Code":{"S3Bucket":"bucket","S3Key":"k"}})"
        ),
        400,
        "InvalidParameterValueException",
        "Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: The "
        "specified bucket does not exist. hako: there are no buckets here (settings "
        "code_bucket_dir, code_s3_endpoint), send the code as ZipFile."
    );
    expect_refused(
        call(
            "CreateFunction",
            R"({"FunctionName":"f","Runtime":"native","Handler":"h","Code":{"ZipFile":""}})"
        ),
        400,
        "InvalidParameterValueException",
        "Uploaded file must be a non-empty zip"
    );
}

class ControlCreate : public Control {
protected:
    struct Given {
        std::string name;
        std::string runtime;
        std::string handler;
    };
    ControlAnswer create(const Given& given, const std::string& zip) {
        return call(
            "CreateFunction",
            fmt::format(
                R"({{"FunctionName":"{}","Runtime":"{}","Handler":"{}"}})",
                given.name,
                given.runtime,
                given.handler
            ),
            zip
        );
    }
};

TEST_F(ControlCreate, ChecksRuntimeAndHandler) {
    expect_refused(
        create({"f", "cobol", "a.b"}, zip_),
        400,
        "InvalidParameterValueException",
        "Value cobol at 'runtime' failed to satisfy constraint: Member must satisfy enum value "
        "set: [native, executable, python3.8, python3.9, python3.10, python3.11, python3.12, "
        "python3.13, python3.14] or be a valid ARN"
    );
    expect_refused(
        create({"f", "python3.12", "handler"}, zip_),
        400,
        "InvalidParameterValueException",
        "The handler 'handler' of a python3.12 function must be of the form module.function."
    );
    for (const char* handler : {"../run", "/bin/sh", "a/../b", "dir/", "a//b", "a\\\\b"}) {
        EXPECT_EQ(create({"f", "executable", handler}, zip_).status, 400) << handler;
        EXPECT_EQ(create({"f", "native", handler}, zip_).status, 400) << handler;
    }
    for (const char* handler : {".b", "a.", "../a.b", "/a.b", "a.b/c"}) {
        EXPECT_EQ(create({"f", "python3.12", handler}, zip_).status, 400) << handler;
    }
    expect_refused(
        create({"f", "native", "a b"}, zip_),
        400,
        "ValidationException",
        constraint("a b", "handler", "Member must satisfy regular expression pattern: [^\\s]+")
    );
    expect_refused(
        create({"f", "native", std::string(129, 'h')}, zip_),
        400,
        "ValidationException",
        constraint(
            std::string(129, 'h'), "handler", "Member must have length less than or equal to 128"
        )
    );
}

TEST_F(ControlCreate, ChecksTheName) {
    expect_refused(
        create({std::string(65, 'n'), "native", "h"}, zip_),
        400,
        "InvalidParameterValueException",
        constraint(
            std::string(65, 'n'), "functionName", "Member must have length less than or equal to 64"
        )
    );
    expect_refused(
        create({"a b", "native", "h"}, zip_),
        400,
        "ValidationException",
        constraint(
            "a b",
            "functionName",
            "Member must satisfy regular expression pattern: " + std::string(kFunctionNamePattern)
        )
    );
    expect_refused(
        create({"f:1", "native", "h"}, zip_), 400, "InvalidParameterValueException", kUnqualified
    );
}

TEST_F(ControlCreate, ChecksTheZip) {
    expect_refused(
        create({"f", "native", "h"}, "this is no zip"),
        400,
        "InvalidParameterValueException",
        "Could not unzip uploaded file. Please check your file, then try to upload again. hako: it "
        "is not a zip, or it is truncated."
    );
    expect_refused(
        create({"f", "native", "h"}, std::string(52428801, 'z')),
        413,
        "RequestEntityTooLargeException",
        "Zipped size must be smaller than 52428800 bytes"
    );
}

TEST_F(ControlCreate, TakesGoodOnesOnce) {
    EXPECT_EQ(create({"f", "native", "lib/h.so"}, zip_).status, 201);
    EXPECT_EQ(create({"g", "python3.14", "pkg/mod.sub.handle"}, zip_).status, 201);
    expect_refused(
        create({"f", "native", "h"}, zip_),
        409,
        "ResourceConflictException",
        "Function already exist: f"
    );
}

}  // namespace
}  // namespace hako::registry
