#include "engine/registry/http_api.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "engine/registry/function_url.h"

namespace hako::registry {
namespace {

/// `GET /a`, or `$default`.
HttpRoute route_of(std::string_view key) {
    const std::size_t blank = key.find(' ');
    if (blank == std::string_view::npos) {
        return {.path = std::string(key)};
    }
    return {
        .method = std::string(key.substr(0, blank)), .path = std::string(key.substr(blank + 1))
    };
}

RouteTable table_of(const std::vector<std::string_view>& keys, bool is_rest = false) {
    auto api = std::make_shared<HttpApi>();
    api->is_rest = is_rest;
    for (const std::string_view key : keys) {
        api->routes.push_back(route_of(key));
    }
    return RouteTable(api);
}

/// `GET /a id=1`; `none` if no route takes it.
std::string matched(const RouteTable& table, std::string_view method, std::string_view path) {
    const RouteTable::Match match = table.match(method, path);
    if (match.route == nullptr) {
        return "none";
    }
    std::string text = match.route->method.empty() ? "" : match.route->method + " ";
    text += match.route->path;
    for (const auto& [name, value] : match.parameters) {
        text += " ";
        text += name;
        text += "=";
        text += value;
    }
    return text;
}

// The table of AWS's page "Working with routes for HTTP APIs".
TEST(RouteTable, ChoosesAsAwsDocuments) {
    const RouteTable table = table_of(
        {"$default", "ANY /{proxy+}", "GET /pets/{proxy+}", "GET /pets/dog/{id}", "GET /pets/dog/1"}
    );
    EXPECT_EQ(matched(table, "GET", "/pets/dog/1"), "GET /pets/dog/1");
    EXPECT_EQ(matched(table, "GET", "/pets/dog/2"), "GET /pets/dog/{id} id=2");
    EXPECT_EQ(matched(table, "GET", "/pets/cat/1"), "GET /pets/{proxy+} proxy=cat/1");
    EXPECT_EQ(matched(table, "POST", "/test/5"), "ANY /{proxy+} proxy=test/5");
    EXPECT_EQ(matched(table, "POST", "/pets/dog/1"), "ANY /{proxy+} proxy=pets/dog/1");
    EXPECT_EQ(matched(table, "GET", "/"), "$default");
}

TEST(RouteTable, PrefersWholePathsToGreedyOnesAndMethodsToAny) {
    const RouteTable table =
        table_of({"GET /a/{proxy+}", "ANY /{x}/{y}", "GET /{x}/{y}", "ANY /b", "GET /b"});
    EXPECT_EQ(matched(table, "GET", "/a/1"), "GET /{x}/{y} x=a y=1");
    EXPECT_EQ(matched(table, "PUT", "/a/1"), "ANY /{x}/{y} x=a y=1");
    EXPECT_EQ(matched(table, "GET", "/a/1/2"), "GET /a/{proxy+} proxy=1/2");
    EXPECT_EQ(matched(table, "GET", "/b"), "GET /b");
    EXPECT_EQ(matched(table, "HEAD", "/b"), "ANY /b");
    EXPECT_EQ(matched(table, "GET", "/c"), "none");
}

TEST(RouteTable, TakesNoEmptyParameters) {
    const RouteTable table = table_of({"GET /items/{id}", "GET /files/{path+}", "GET /"});
    EXPECT_EQ(matched(table, "GET", "/items/"), "none");
    EXPECT_EQ(matched(table, "GET", "/items"), "none");
    EXPECT_EQ(matched(table, "GET", "/files/"), "none");
    EXPECT_EQ(matched(table, "GET", "/files//x"), "GET /files/{path+} path=/x");
    EXPECT_EQ(matched(table, "GET", "/items/%2F"), "GET /items/{id} id=%2F");
    EXPECT_EQ(matched(table, "GET", "/"), "GET /");
    EXPECT_EQ(matched(table, "GET", ""), "none");
}

TEST(RouteTable, OfARestApiSettlesOnThePathFirst) {
    const RouteTable table = table_of({"GET /a", "ANY /{proxy+}", "POST /b/{id}"}, true);
    EXPECT_EQ(matched(table, "GET", "/a"), "GET /a");
    EXPECT_EQ(matched(table, "GET", "/a/"), "GET /a");
    EXPECT_EQ(matched(table, "POST", "/a"), "none");
    EXPECT_EQ(matched(table, "POST", "/c"), "ANY /{proxy+} proxy=c");
    EXPECT_EQ(matched(table, "GET", "/b/1"), "none");
}

TEST(RouteTemplate, RefusesWhatIsNoPath) {
    for (const std::string_view path :
         {"",
          "a",
          "default",
          "/a{b}",
          "/{b}c",
          "/{",
          "/{}",
          "/{+}",
          "/{a",
          "/{a+}/b",
          "/{a}/{a}",
          "/a b",
          "/{a b}",
          "/\"",
          "/a?b",
          "/a#b",
          "/{a}}"}) {
        EXPECT_FALSE(RouteTemplate::parse(path).has_value()) << path;
    }
    for (const std::string_view path :
         {"$default", "/", "/a", "/a/", "/a//b", "/{a}/{b+}", "/a%20b", "/@x:y~z"}) {
        EXPECT_TRUE(RouteTemplate::parse(path).has_value()) << path;
    }
    EXPECT_FALSE(RouteTemplate::parse(std::string(513, '/')).has_value());
    std::string deep;
    for (int i = 0; i < 65; ++i) {
        deep += "/a";
    }
    EXPECT_FALSE(RouteTemplate::parse(deep).has_value());
    EXPECT_EQ(matched(table_of({"ANY /{p+}"}), "GET", deep), "ANY /{p+} p=" + deep.substr(1));
}

TEST(RouteTemplate, ComparesShapes) {
    const auto same = [](std::string_view left, std::string_view right) {
        return RouteTemplate::parse(left)->has_shape_of(*RouteTemplate::parse(right));
    };
    EXPECT_TRUE(same("/a/{x}", "/a/{y}"));
    EXPECT_FALSE(same("/a/{x}", "/a/{x+}"));
    EXPECT_FALSE(same("/a", "/b"));
    EXPECT_FALSE(same("/", "$default"));
}

TEST(HttpApiTable, FindsByNameIdAndHost) {
    HttpApiTable table;
    const auto put = [&table](std::string name, std::vector<std::string> hosts) {
        auto api = std::make_shared<HttpApi>();
        api->name = name;
        api->id = "id" + name;
        api->host_names = std::move(hosts);
        table.put(api);
    };
    put("b", {"b.example"});
    put("a", {"a.example", "www.a.example"});
    put("a", {"new.example"});
    EXPECT_EQ(table.find_host("a.example"), nullptr);
    EXPECT_EQ(table.find_host("new.example"), table.find("a"));
    EXPECT_EQ(table.find_id("ida"), table.find("a"));
    EXPECT_EQ(table.list("", 10).size(), 2U);
    EXPECT_EQ(table.list("a", 10).front()->api().name, "b");
    table.remove("a");
    table.remove("b");
    EXPECT_TRUE(table.empty());
    EXPECT_EQ(table.find_id("ida"), nullptr);
    EXPECT_EQ(table.find_host("new.example"), nullptr);
}

TEST(UrlTable, FindsByIdAndFunction) {
    UrlTable table;
    const auto url = [](std::string id, std::string qualifier) {
        return std::make_shared<const FunctionUrl>(
            FunctionUrl{.id = id, .function_name = "f", .qualifier = qualifier}
        );
    };
    table.put(url("2", "live"));
    table.put(url("1", ""));
    table.put(url("3", "live"));
    EXPECT_EQ(table.find("2"), nullptr) << "replaced";
    EXPECT_EQ(table.find("3"), table.find("f", "live"));
    EXPECT_EQ(table.list("f").front()->id, "1");
    table.remove(table.list("f").front());
    EXPECT_EQ(table.find("1"), nullptr);
    table.remove_function("f");
    EXPECT_TRUE(table.empty());
    EXPECT_TRUE(table.list("f").empty());
}

}  // namespace
}  // namespace hako::registry
