#include "infer/json_grammar.h"

#include "base/check.h"
#include "infer/json_rules.h"

#include <algorithm>
#include <map>

namespace tnl {
namespace {

using State = Grammar::State;

constexpr int64_t kMostRepeats = 10'000; // of characters or items that a schema counts
constexpr int kMostDepth = 300;

// What would change which texts are valid, and is not read.
constexpr const char* kUnread[] = {"pattern",
                                   "minimum",
                                   "maximum",
                                   "exclusiveMinimum",
                                   "exclusiveMaximum",
                                   "multipleOf",
                                   "uniqueItems",
                                   "contains",
                                   "minContains",
                                   "maxContains",
                                   "minProperties",
                                   "maxProperties",
                                   "propertyNames",
                                   "patternProperties",
                                   "dependentSchemas",
                                   "dependentRequired",
                                   "dependencies",
                                   "if",
                                   "then",
                                   "else",
                                   "not",
                                   "additionalItems",
                                   "unevaluatedItems",
                                   "unevaluatedProperties",
                                   "$dynamicRef",
                                   "$recursiveRef"};

constexpr const char* kTypes[] = {"object",  "array",   "string", "number",
                                  "integer", "boolean", "null"};

[[noreturn]] void wrong(const std::string& path, const std::string& what) {
    throw UsageError(fmt::format("{}: {}", path, what));
}

// "a/b" -> "a~1b": a step of a JSON pointer (RFC 6901).
std::string pointer_step(const std::string& name) {
    std::string out;
    for (const char c : name) out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
    return out;
}

bool is_of(const Json& value, const std::string& type) {
    if (type == "integer") return value.is_number_integer();
    if (type == "number") return value.is_number();
    if (type == "boolean") return value.is_boolean();
    if (type == "null") return value.is_null();
    if (type == "string") return value.is_string();
    return type == "array" ? value.is_array() : value.is_object();
}

class Compiler {
  public:
    explicit Compiler(const Json& root) : root_(root), json_(grammar_) {}

    GrammarWalk compile() {
        const State schema = rule_of(root_, "#");
        // A tokenizer may put a space before a text.
        const State first = json_.rule([&](State from, State to) {
            grammar_.add_call(json_.then(from, json_.space()), schema, to);
        });
        return {std::move(grammar_), first};
    }

  private:
    // The rule of a schema, made once for each place.
    State rule_of(const Json& schema, const std::string& path) {
        if (const auto known = rules_.find(path); known != rules_.end()) {
            if (std::ranges::find(open_, path) != open_.end())
                wrong(path, "refers to itself without anything between");
            return known->second;
        }
        if (++depth_ > kMostDepth) wrong(path, fmt::format("nested deeper than {}", kMostDepth));
        const State first = grammar_.add_state(), last = grammar_.add_state();
        grammar_.end_rule(last);
        rules_[path] = first;
        open_.push_back(path);
        add(schema, path, first, last);
        open_.pop_back();
        --depth_;
        return first;
    }

    // What a value has inside comes after a byte of its own: it may refer back.
    template <class F> void inside(F&& body) {
        const std::vector<std::string> open = std::exchange(open_, {});
        body();
        open_ = open;
    }

    void add(const Json& schema, const std::string& path, State first, State last) {
        if (schema.is_boolean() && schema.get<bool>())
            return grammar_.add_call(first, json_.value(), last);
        if (!schema.is_object())
            wrong(path,
                  fmt::format("{}, wanted a schema: an object, or true", json_excerpt(schema)));
        for (const char* keyword : kUnread)
            if (const auto at = schema.find(keyword); at != schema.end() && *at != Json(false))
                wrong(fmt::format("{}/{}", path, keyword), "is not supported");
        if (schema.contains("$ref")) return add_reference(schema, path, first, last);
        for (const char* keyword : {"anyOf", "oneOf", "allOf"})
            if (schema.contains(keyword)) return add_choice(schema, path, keyword, first, last);
        if (schema.contains("enum") || schema.contains("const"))
            return add_values(schema, path, first, last);
        const std::vector<std::string> types = types_of(schema, path);
        if (types.empty()) return grammar_.add_call(first, json_.value(), last);
        for (const std::string& type : types) add_type(type, schema, path, first, last);
    }

    // Beside these a schema may have annotations only.
    void want_alone(const Json& schema, const std::string& path, const char* keyword) {
        for (const char* other : {"$ref", "anyOf", "oneOf", "allOf", "enum", "const", "type",
                                  "properties", "required", "additionalProperties", "items",
                                  "prefixItems", "minItems", "maxItems", "minLength", "maxLength"})
            if (std::string_view(other) != keyword && schema.contains(other))
                wrong(fmt::format("{}/{}", path, other),
                      fmt::format("is not supported beside {}", keyword));
    }

    // Null where there is none, or it is no JSON pointer.
    const Json* find_place(const std::string& pointer) const {
        try {
            return &root_.at(Json::json_pointer(pointer));
        } catch (const Json::exception&) {
            return nullptr;
        }
    }

    void add_reference(const Json& schema, const std::string& path, State first, State last) {
        want_alone(schema, path, "$ref");
        const Json& reference = schema["$ref"];
        const std::string at = path + "/$ref";
        if (!reference.is_string() || !reference.get_ref<const std::string&>().starts_with("#"))
            wrong(at, fmt::format("{}, wanted \"#\" or \"#/...\": a place in this schema",
                                  json_excerpt(reference)));
        const auto target = reference.get<std::string>();
        const Json* found = find_place(target.substr(1));
        if (found == nullptr)
            wrong(at,
                  fmt::format("{}: there is no such place in the schema", json_excerpt(reference)));
        grammar_.add_call(first, rule_of(*found, target), last);
    }

    void add_choice(const Json& schema, const std::string& path, const char* keyword, State first,
                    State last) {
        want_alone(schema, path, keyword);
        const Json& list = schema[keyword];
        const std::string at = fmt::format("{}/{}", path, keyword);
        if (!list.is_array() || list.empty()) wrong(at, "wanted a list of schemas");
        if (std::string_view(keyword) == "allOf" && list.size() != 1)
            wrong(at, "is not supported with more than one schema");
        for (size_t i = 0; i < list.size(); ++i)
            grammar_.add_call(first, rule_of(list[i], fmt::format("{}/{}", at, i)), last);
    }

    void add_values(const Json& schema, const std::string& path, State first, State last) {
        std::vector<std::string> types;
        if (schema.contains("type")) types = types_of(schema, path);
        const bool is_const = schema.contains("const");
        const Json list = is_const ? Json::array({schema["const"]}) : schema["enum"];
        if (!list.is_array()) wrong(path + "/enum", "wanted a list of values");
        bool any = false;
        for (const Json& value : list) {
            if (!types.empty() &&
                std::ranges::none_of(types, [&](const auto& type) { return is_of(value, type); }))
                continue;
            grammar_.add_text(first, value.dump(), last);
            any = true;
        }
        if (!any) wrong(path + (is_const ? "/const" : "/enum"), "no value is of the type wanted");
    }

    std::vector<std::string> types_of(const Json& schema, const std::string& path) {
        const auto found = schema.find("type");
        if (found == schema.end()) { // what only one type has tells it
            for (const char* keyword : {"properties", "required", "additionalProperties"})
                if (schema.contains(keyword)) return {"object"};
            for (const char* keyword : {"items", "prefixItems", "minItems", "maxItems"})
                if (schema.contains(keyword)) return {"array"};
            for (const char* keyword : {"minLength", "maxLength"})
                if (schema.contains(keyword)) return {"string"};
            return {};
        }
        std::vector<std::string> out;
        for (const Json& type : found->is_array() ? *found : Json::array({*found})) {
            if (!type.is_string() ||
                std::ranges::find(kTypes, type.get<std::string>()) == std::end(kTypes))
                wrong(path + "/type", fmt::format("{}, wanted one or a list of {}",
                                                  json_excerpt(type), fmt::join(kTypes, ", ")));
            out.push_back(type.get<std::string>());
        }
        if (out.empty()) wrong(path + "/type", "[], wanted at least one");
        return out;
    }

    void add_type(const std::string& type, const Json& schema, const std::string& path, State first,
                  State last) {
        if (type == "object") return inside([&] { add_object(schema, path, first, last); });
        if (type == "array") return inside([&] { add_array(schema, path, first, last); });
        if (type == "string") return add_string(schema, path, first, last);
        if (type == "number") return grammar_.add_call(first, json_.number(), last);
        if (type == "integer") return grammar_.add_call(first, json_.integer(), last);
        if (type == "null") return grammar_.add_text(first, "null", last);
        grammar_.add_text(first, "true", last);
        grammar_.add_text(first, "false", last);
    }

    std::optional<int64_t> count(const Json& schema, const std::string& path, const char* keyword) {
        const auto found = schema.find(keyword);
        if (found == schema.end()) return std::nullopt;
        if (!found->is_number_integer() || *found < 0 || *found > kMostRepeats)
            wrong(fmt::format("{}/{}", path, keyword),
                  fmt::format("{}, wanted 0 to {}", json_excerpt(*found), kMostRepeats));
        return found->get<int64_t>();
    }

    void want_order(int64_t least, std::optional<int64_t> most, const std::string& path) {
        if (most && *most < least)
            wrong(path, fmt::format("at least {}, but at most {}", least, *most));
    }

    void add_string(const Json& schema, const std::string& path, State first, State last) {
        const int64_t least = count(schema, path, "minLength").value_or(0);
        const auto most = count(schema, path, "maxLength");
        want_order(least, most, path);
        grammar_.add_call(
            first, least == 0 && !most ? json_.string() : json_.string_of(least, most), last);
    }

    void add_array(const Json& schema, const std::string& path, State first, State last) {
        const Json none = Json::array();
        const Json& prefix = schema.contains("prefixItems") ? schema["prefixItems"] : none;
        if (!prefix.is_array()) wrong(path + "/prefixItems", "wanted a list of schemas");
        const bool closed = schema.contains("items") && schema["items"] == Json(false);
        const int64_t least = count(schema, path, "minItems").value_or(0);
        auto most = count(schema, path, "maxItems");
        const auto listed = static_cast<int64_t>(prefix.size());
        if (closed) most = std::min(most.value_or(listed), listed);
        want_order(least, most, path);
        const auto item = [&](int64_t i) {
            if (i < listed)
                return rule_of(prefix[static_cast<size_t>(i)],
                               fmt::format("{}/prefixItems/{}", path, i));
            return schema.contains("items") ? rule_of(schema["items"], path + "/items")
                                            : json_.value();
        };
        const State open = json_.then(json_.then_byte(first, '['), json_.space());
        if (least == 0) json_.byte(open, ']', last);
        State at = grammar_.add_state(); // where an item begins; after a comma one must
        grammar_.add_jump(open, at);
        const int64_t unrolled = most ? *most : std::max(least, listed) + 1;
        for (int64_t i = 0; i < unrolled; ++i) {
            const State after = json_.then(json_.then(at, item(i)), json_.space());
            if (i + 1 >= least) json_.byte(after, ']', last);
            const State comma = json_.then_byte(after, ',');
            if (!most && i + 1 == unrolled) // the last stands for all that follow
                grammar_.add_call(comma, json_.space(), at);
            else if (i + 1 < unrolled)
                at = json_.then(comma, json_.space());
        }
    }

    struct Member {
        std::string name;
        State value;
        bool required;
    };

    std::vector<Member> members_of(const Json& schema, const std::string& path) {
        std::vector<std::string> required;
        if (const auto list = schema.find("required"); list != schema.end()) {
            if (!list->is_array()) wrong(path + "/required", "wanted a list of names");
            for (const Json& name : *list) {
                if (!name.is_string()) wrong(path + "/required", "wanted a list of names");
                required.push_back(name.get<std::string>());
            }
        }
        std::vector<Member> out;
        if (const auto properties = schema.find("properties"); properties != schema.end()) {
            if (!properties->is_object())
                wrong(path + "/properties", "wanted an object of schemas");
            for (const auto& [name, value] : properties->items())
                out.push_back(
                    {name,
                     rule_of(value, fmt::format("{}/properties/{}", path, pointer_step(name))),
                     std::ranges::find(required, name) != required.end()});
        }
        for (const std::string& name : required) {
            if (std::ranges::any_of(out, [&](const Member& m) { return m.name == name; })) continue;
            out.push_back({name, other_member(schema, path), true});
        }
        return out;
    }

    // The rule of a member that `properties` does not name.
    State other_member(const Json& schema, const std::string& path) {
        const auto rest = schema.find("additionalProperties");
        if (rest == schema.end()) return json_.value();
        if (*rest == Json(false))
            wrong(path + "/required", "names a member that additionalProperties forbids");
        return rule_of(*rest, path + "/additionalProperties");
    }

    void add_object(const Json& schema, const std::string& path, State first, State last) {
        const std::vector<Member> members = members_of(schema, path);
        const auto rest = schema.find("additionalProperties");
        if (members.empty() && (rest == schema.end() || *rest != Json(false)))
            return add_map(other_member(schema, path), first, last);
        // none: no member has come yet; some: one has, and the space after it.
        State none = json_.then(json_.then_byte(first, '{'), json_.space());
        State some = grammar_.add_state();
        for (const Member& m : members) {
            const State begin = grammar_.add_state(), next_some = grammar_.add_state();
            grammar_.add_jump(none, begin);
            grammar_.add_call(json_.then_byte(some, ','), json_.space(), begin);
            const State colon = grammar_.add_state();
            grammar_.add_text(begin, Json(m.name).dump() + ":", colon);
            grammar_.add_call(json_.then(json_.then(colon, json_.space()), m.value), json_.space(),
                              next_some);
            const State next_none = grammar_.add_state();
            if (!m.required) {
                grammar_.add_jump(none, next_none);
                grammar_.add_jump(some, next_some);
            }
            none = next_none;
            some = next_some;
        }
        json_.byte(none, '}', last);
        json_.byte(some, '}', last);
    }

    void add_map(State value, State first, State last) {
        const State open = json_.then(json_.then_byte(first, '{'), json_.space());
        json_.byte(open, '}', last);
        const State key = grammar_.add_state();
        grammar_.add_jump(open, key);
        const State colon =
            json_.then_byte(json_.then(json_.then(key, json_.string()), json_.space()), ':');
        const State after =
            json_.then(json_.then(json_.then(colon, json_.space()), value), json_.space());
        json_.byte(after, '}', last);
        grammar_.add_call(json_.then_byte(after, ','), json_.space(), key);
    }

    const Json& root_;
    Grammar grammar_;
    JsonRules json_;
    std::map<std::string, State> rules_; // by JSON pointer
    std::vector<std::string> open_;      // being made, without a byte between them
    int depth_ = 0;
};

} // namespace

GrammarWalk json_schema_grammar(const Json& schema) { return Compiler(schema).compile(); }

GrammarWalk any_json_object() { return json_schema_grammar({{"type", "object"}}); }

} // namespace tnl
