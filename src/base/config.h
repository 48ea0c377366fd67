// Configs are plain structs with one list of fields:
//
//     struct AdamConfig {
//         double lr = 3e-4;
//         template <class V> void fields(V&& visit) { visit("lr", lr, "peak learning rate"); }
//     };
//
// A member that has fields() itself is a section; its keys are dotted ("adam.lr"). ConfigBinding
// reads such a struct from JSON or TOML files and from "adam.lr=1e-3" on a command line, and writes
// it as JSON. A member is a bool, an integer, a float, a string, a path, an enum, or a vector or
// optional of these. An enum E needs, in its own namespace,
//     std::vector<std::pair<std::string_view, E>> enum_names(E);
#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace tnl {

struct ConfigValue {
    using List = std::vector<ConfigValue>;
    std::variant<std::nullptr_t, bool, int64_t, double, std::string, List> value;
};

// How a type of member is called, read and written.
template <class T> struct ConfigType;

struct ConfigField {
    std::string key, help;
    std::string wanted;                          // "a whole number"
    std::string initial;                         // the value when bound, as JSON: the default
    bool is_text = false;                        // "key=12" means the text 12
    std::function<bool(const ConfigValue&)> set; // false: not of the wanted kind
    std::function<ConfigValue()> get;
};

class ConfigBinding {
  public:
    // The struct must outlive the binding.
    template <class Config> explicit ConfigBinding(Config& config);

    // Reads a .json or .toml file; keys that it lacks keep their values. Throws UsageError for an
    // unknown key (naming file, key and the nearest valid key) and for a value of the wrong kind
    // (naming file, key, value and the wanted kind); Error for a file that cannot be read.
    void load(const std::filesystem::path& path);
    // The same from text; `name` stands for the file.
    void load_json(std::string_view text, const std::string& name);
    void load_toml(std::string_view text, const std::string& name);
    // "key=value", as given on a command line; lists are [1,2] or 1,2. Throws as load does.
    void set(std::string_view assignment);

    std::string json() const; // nested, indented, in the order of the fields
    const std::vector<ConfigField>& fields() const { return fields_; }
    std::vector<std::string> keys() const;
    // A line for each key: key, default, help.
    std::string help() const;
    // Whether load or set has named this key.
    bool given(std::string_view key) const;

  private:
    struct Collector;
    void add(ConfigField field);
    void assign(const std::string& where, const std::string& key, const ConfigValue& value);
    const ConfigField& find(const std::string& where, const std::string& key) const;

    std::vector<ConfigField> fields_;
    std::vector<std::string> given_;
};

template <> struct ConfigType<bool> {
    static std::string wanted() { return "true or false"; }
    static bool read(const ConfigValue& v, bool& out) {
        const bool* b = std::get_if<bool>(&v.value);
        if (b != nullptr) out = *b;
        return b != nullptr;
    }
    static ConfigValue write(bool v) { return {v}; }
};

template <std::integral T> struct ConfigType<T> {
    static std::string wanted() {
        return std::is_unsigned_v<T> ? "a whole number, 0 or more" : "a whole number";
    }
    static bool read(const ConfigValue& v, T& out) {
        int64_t wide = 0;
        if (const auto* i = std::get_if<int64_t>(&v.value)) {
            wide = *i;
        } else if (const auto* d = std::get_if<double>(&v.value)) { // 1e6
            if (std::abs(*d) > 0x1p53 || std::trunc(*d) != *d) return false;
            wide = static_cast<int64_t>(*d);
        } else {
            return false;
        }
        if (!std::in_range<T>(wide)) return false;
        out = static_cast<T>(wide);
        return true;
    }
    static ConfigValue write(T v) { return {static_cast<int64_t>(v)}; }
};

template <std::floating_point T> struct ConfigType<T> {
    static std::string wanted() { return "a finite number"; }
    static bool read(const ConfigValue& v, T& out) {
        double wide = 0;
        if (const auto* i = std::get_if<int64_t>(&v.value))
            wide = static_cast<double>(*i);
        else if (const auto* d = std::get_if<double>(&v.value))
            wide = *d;
        else
            return false;
        if (!(std::abs(wide) <= static_cast<double>(std::numeric_limits<T>::max()))) return false;
        out = static_cast<T>(wide);
        return true;
    }
    static ConfigValue write(T v) { return {static_cast<double>(v)}; }
};

template <class T>
requires std::is_same_v<T, std::string> || std::is_same_v<T, std::filesystem::path>
struct ConfigType<T> {
    static std::string wanted() { return "text"; }
    static bool read(const ConfigValue& v, T& out) {
        const std::string* s = std::get_if<std::string>(&v.value);
        if (s != nullptr) out = *s;
        return s != nullptr;
    }
    static ConfigValue write(const T& v) { return {std::string(v)}; }
};

template <class T>
requires std::is_enum_v<T>
struct ConfigType<T> {
    static std::string wanted() {
        std::string out = "one of";
        for (const auto& [name, value] : enum_names(T{})) out += " " + std::string(name);
        return out;
    }
    static bool read(const ConfigValue& v, T& out) {
        const std::string* s = std::get_if<std::string>(&v.value);
        for (const auto& [name, value] : enum_names(T{})) {
            if (s == nullptr || *s != name) continue;
            out = value;
            return true;
        }
        return false;
    }
    static ConfigValue write(T v) {
        for (const auto& [name, value] : enum_names(T{}))
            if (value == v) return {std::string(name)};
        return {std::string("?")};
    }
};

template <class T> struct ConfigType<std::vector<T>> {
    static std::string wanted() { return "a list, each " + ConfigType<T>::wanted(); }
    static bool read(const ConfigValue& v, std::vector<T>& out) {
        const auto* list = std::get_if<ConfigValue::List>(&v.value);
        if (list == nullptr) return false;
        std::vector<T> items;
        for (const ConfigValue& each : *list) {
            T item{};
            if (!ConfigType<T>::read(each, item)) return false;
            items.push_back(std::move(item));
        }
        out = std::move(items);
        return true;
    }
    static ConfigValue write(const std::vector<T>& v) {
        ConfigValue::List list;
        for (const T& each : v) list.push_back(ConfigType<T>::write(each));
        return {std::move(list)};
    }
};

template <class T> struct ConfigType<std::optional<T>> {
    static std::string wanted() { return ConfigType<T>::wanted() + ", or null"; }
    static bool read(const ConfigValue& v, std::optional<T>& out) {
        T item{};
        if (std::holds_alternative<std::nullptr_t>(v.value))
            out.reset();
        else if (ConfigType<T>::read(v, item))
            out = std::move(item);
        else
            return false;
        return true;
    }
    static ConfigValue write(const std::optional<T>& v) {
        return v ? ConfigType<T>::write(*v) : ConfigValue{nullptr};
    }
};

template <class T> struct ConfigIsText : std::false_type {};
template <> struct ConfigIsText<std::string> : std::true_type {};
template <> struct ConfigIsText<std::filesystem::path> : std::true_type {};
template <class T>
requires std::is_enum_v<T>
struct ConfigIsText<T> : std::true_type {
};
template <class T> struct ConfigIsText<std::optional<T>> : ConfigIsText<T> {};

struct ConfigBinding::Collector {
    ConfigBinding& binding;
    std::string prefix;

    template <class T> void operator()(std::string_view name, T& member, std::string_view help) {
        if constexpr (requires(Collector & c) { member.fields(c); }) {
            Collector section{binding, prefix + std::string(name) + "."};
            member.fields(section);
        } else {
            T* at = &member;
            binding.add({.key = prefix + std::string(name),
                         .help = std::string(help),
                         .wanted = ConfigType<T>::wanted(),
                         .initial = {},
                         .is_text = ConfigIsText<T>::value,
                         .set = [at](const ConfigValue& v) { return ConfigType<T>::read(v, *at); },
                         .get = [at] { return ConfigType<T>::write(*at); }});
        }
    }
};

template <class Config> ConfigBinding::ConfigBinding(Config& config) {
    Collector collect{*this, ""};
    config.fields(collect);
}

} // namespace tnl
