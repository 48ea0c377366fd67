#include "base/config.h"

#include "base/check.h"
#include "base/file.h"
#include "base/json.h"
#include "base/nearest.h"
#include "base/toml.h"

// toml++ asserts where some damaged files lead it: an error here, not the end of the process.
[[noreturn]] static void fail_toml() { throw tnl::Error("invalid TOML"); }
#define TOML_HEADER_ONLY 1
#define TOML_ASSERT(condition) static_cast<void>((condition) || (fail_toml(), false))
#include <toml++/toml.h>

#include <algorithm>
#include <sstream>

namespace tnl {

static Json to_json(const ConfigValue& value) {
    return std::visit(
        [](const auto& v) -> Json {
            if constexpr (std::is_same_v<std::decay_t<decltype(v)>, ConfigValue::List>) {
                Json list = Json::array();
                for (const ConfigValue& each : v) list.push_back(to_json(each));
                return list;
            } else {
                return v;
            }
        },
        value.value);
}

// Objects have no ConfigValue: they are sections.
static std::optional<ConfigValue> from_json(const Json& json) {
    switch (json.type()) {
    case Json::value_t::null:
        return ConfigValue{nullptr};
    case Json::value_t::boolean:
        return ConfigValue{json.get<bool>()};
    case Json::value_t::number_integer:
        return ConfigValue{json.get<int64_t>()};
    case Json::value_t::number_unsigned:
        if (json.get<uint64_t>() > uint64_t{INT64_MAX}) return ConfigValue{json.get<double>()};
        return ConfigValue{json.get<int64_t>()};
    case Json::value_t::number_float:
        return ConfigValue{json.get<double>()};
    case Json::value_t::string:
        return ConfigValue{json.get<std::string>()};
    case Json::value_t::array: {
        ConfigValue::List list;
        for (const Json& each : json) {
            std::optional<ConfigValue> item = from_json(each);
            if (!item) return std::nullopt;
            list.push_back(std::move(*item));
        }
        return ConfigValue{std::move(list)};
    }
    default:
        return std::nullopt;
    }
}

static Json toml_to_json(const toml::node& node) {
    Json out;
    if (const auto* table = node.as_table()) {
        out = Json::object();
        for (const auto& [key, child] : *table) out[std::string(key.str())] = toml_to_json(child);
    } else if (const auto* array = node.as_array()) {
        out = Json::array();
        for (const toml::node& child : *array) out.push_back(toml_to_json(child));
    } else if (const auto* text = node.as_string()) {
        out = text->get();
    } else if (const auto* whole = node.as_integer()) {
        out = whole->get();
    } else if (const auto* number = node.as_floating_point()) {
        out = number->get();
    } else if (const auto* truth = node.as_boolean()) {
        out = truth->get();
    } else { // a date or time: as it is written
        std::ostringstream text_out;
        node.visit([&](const auto& n) {
            if constexpr (!toml::is_table<decltype(n)> && !toml::is_array<decltype(n)>)
                text_out << n.get();
        });
        out = text_out.str();
    }
    return out;
}

// "run.json: adam.lr" or, on a command line, "adam.lr".
static std::string place(const std::string& where, const std::string& key) {
    return where.empty() ? key : where + ": " + key;
}

void ConfigBinding::add(ConfigField field) {
    field.initial = to_json(field.get()).dump();
    fields_.push_back(std::move(field));
}

const ConfigField& ConfigBinding::find(const std::string& where, const std::string& key) const {
    for (const ConfigField& field : fields_)
        if (field.key == key) return field;
    const std::string section = key + ".";
    for (const ConfigField& field : fields_)
        if (field.key.starts_with(section))
            throw UsageError(fmt::format("{} is a section; its keys are {} and so on",
                                         place(where, key), field.key));
    std::vector<std::string> valid = keys();
    for (const ConfigField& field : fields_) // sections, too
        if (const size_t dot = field.key.find('.'); dot != std::string::npos)
            valid.push_back(field.key.substr(0, dot));
    throw UsageError(
        fmt::format("{}: unknown key; the nearest is {}", place(where, key), nearest(key, valid)));
}

void ConfigBinding::assign(const std::string& where, const std::string& key,
                           const ConfigValue& value) {
    const ConfigField& field = find(where, key);
    try {
        static_cast<void>(to_json(value).dump());
    } catch (const Json::type_error&) {
        throw UsageError(place(where, key) + ": the text is not valid UTF-8");
    }
    if (!field.set(value))
        throw UsageError(fmt::format("{} = {}: wanted {}", place(where, key),
                                     json_excerpt(to_json(value)), field.wanted));
    given_.push_back(key);
}

void ConfigBinding::load_json(std::string_view text, const std::string& name) {
    const Json root = parse_json(text, name);
    const auto load = [&](auto& self, const Json& object, const std::string& prefix) -> void {
        for (const auto& [name_of, value] : object.items()) {
            const std::string key = prefix + name_of;
            if (value.is_object()) {
                const std::string section = key + ".";
                if (std::none_of(fields_.begin(), fields_.end(), [&](const ConfigField& f) {
                        return f.key.starts_with(section);
                    })) {
                    const ConfigField& field = find(name, key);
                    throw UsageError(
                        fmt::format("{} is a section: wanted {}", place(name, key), field.wanted));
                }
                self(self, value, section);
            } else if (const std::optional<ConfigValue> leaf = from_json(value)) {
                assign(name, key, *leaf);
            } else {
                throw UsageError(fmt::format("{} = {}: wanted {}", place(name, key),
                                             json_excerpt(value), find(name, key).wanted));
            }
        }
    };
    if (!root.is_object()) throw UsageError(name + ": wanted an object of keys and values");
    load(load, root, "");
}

// What toml++ does not refuse itself: control characters, which TOML forbids, and dotted keys
// (a.a.a.a...) as deep as to exhaust the stack.
static void check_toml(std::string_view text, const std::string& name) {
    constexpr int kMostDots = 1000; // on one line
    int line = 1, dots = 0;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if ((byte < 0x20 && c != '\t' && c != '\n' && c != '\r') || byte == 0x7F)
            fail("{}: line {}: control character {:#04x}", name, line, byte);
        if (c == '\n') {
            ++line;
            dots = 0;
        } else if (c == '.' && ++dots > kMostDots) {
            fail("{}: line {}: more than {} dots", name, line, kMostDots);
        }
    }
}

Json parse_toml(std::string_view text, const std::string& name) {
    check_toml(text, name);
    toml::table root;
    try {
        root = toml::parse(text, name);
    } catch (const toml::parse_error& e) {
        const toml::source_position at = e.source().begin;
        fail("{}: line {}, column {}: {}", name, at.line, at.column, e.description());
    } catch (const Error& e) {
        fail("{}: {}", name, e.what());
    }
    // nan and inf have no JSON: refused here, with their line.
    const auto check = [&](auto& self, const toml::node& node) -> void {
        if (const auto* table = node.as_table()) {
            for (const auto& [key, child] : *table) self(self, child);
        } else if (const auto* array = node.as_array()) {
            for (const toml::node& child : *array) self(self, child);
        } else if (const auto* number = node.as_floating_point()) {
            if (!std::isfinite(number->get()))
                throw UsageError(fmt::format("{}: line {}: {} is not a finite number", name,
                                             node.source().begin.line, number->get()));
        }
    };
    check(check, root);
    return toml_to_json(root);
}

void ConfigBinding::load_toml(std::string_view text, const std::string& name) {
    load_json(parse_toml(text, name).dump(), name);
}

void ConfigBinding::load(const std::filesystem::path& path) {
    const std::string name = path.string();
    if (path.extension() != ".json" && path.extension() != ".toml")
        throw UsageError(name + ": a config file is .json or .toml");
    const std::string text = read_file(path);
    if (path.extension() == ".json")
        load_json(text, name);
    else
        load_toml(text, name);
}

// What is right of "key=": numbers, lists and so on as JSON; a bare list needs no brackets.
static ConfigValue parse_value(const std::string& text, const ConfigField& field) {
    const auto parse = [](const std::string& source) -> std::optional<ConfigValue> {
        try {
            return from_json(parse_json(source, ""));
        } catch (const Error&) {
            return std::nullopt;
        }
    };
    if (field.is_text) {
        if (text == "null" && field.wanted.ends_with("or null")) return {nullptr};
        return {text};
    }
    if (field.wanted.starts_with("a list") && !text.starts_with('[')) {
        ConfigValue::List list;
        std::stringstream parts(text);
        for (std::string part; std::getline(parts, part, ',');)
            list.push_back(parse(part).value_or(ConfigValue{part}));
        return {std::move(list)};
    }
    return parse(text).value_or(ConfigValue{text});
}

void ConfigBinding::set(std::string_view assignment) {
    const size_t equals = assignment.find('=');
    if (equals == std::string_view::npos || equals == 0)
        throw UsageError(fmt::format("'{}': wanted key=value", assignment));
    const std::string key(assignment.substr(0, equals));
    assign("", key, parse_value(std::string(assignment.substr(equals + 1)), find("", key)));
}

std::string ConfigBinding::json() const {
    Json root = Json::object();
    for (const ConfigField& field : fields_) {
        Json* at = &root;
        size_t begin = 0;
        for (size_t dot; (dot = field.key.find('.', begin)) != std::string::npos; begin = dot + 1)
            at = &(*at)[field.key.substr(begin, dot - begin)];
        (*at)[field.key.substr(begin)] = to_json(field.get());
    }
    return root.dump(2);
}

std::vector<std::string> ConfigBinding::keys() const {
    std::vector<std::string> out;
    for (const ConfigField& field : fields_) out.push_back(field.key);
    return out;
}

std::string ConfigBinding::help() const {
    size_t width = 0;
    for (const ConfigField& field : fields_)
        width = std::max(width, field.key.size() + 1 + field.initial.size());
    width = std::min<size_t>(width, 40);
    std::string out;
    for (const ConfigField& field : fields_)
        out += fmt::format("  {:<{}}  {}\n", field.key + "=" + field.initial, width, field.help);
    return out;
}

bool ConfigBinding::given(std::string_view key) const {
    return std::find(given_.begin(), given_.end(), key) != given_.end();
}

} // namespace tnl
