#include "text/chat_template.h"

#include "base/check.h"
#include "base/json.h"

namespace tnl {

ChatTemplate ChatTemplate::plain() {
    ChatTemplate out;
    for (const auto& [role, name] : {std::pair("system", "System"), std::pair("user", "User"),
                                     std::pair("assistant", "Assistant")})
        out.roles[role] = {fmt::format("{}: ", name), "\n\n"};
    out.stops = {"\nUser:", "\nSystem:"};
    return out;
}

ChatTemplate ChatTemplate::load(const std::filesystem::path& file) {
    const Json json = parse_json_file(file);
    const std::string name = file.string();
    const JsonFields fields(json, name);
    ChatTemplate out;
    if (json.contains("begin")) out.begin = fields.text("begin");
    if (json.contains("stops"))
        for (const Json& stop : fields.at("stops")) {
            TNL_CHECK(stop.is_string() && !stop.get_ref<const std::string&>().empty(),
                      "{}: stops: {}, wanted text that is not empty", name, json_excerpt(stop));
            out.stops.push_back(stop.get<std::string>());
        }
    const JsonFields roles = fields.section("roles");
    for (const auto& [role, affixes] : json["roles"].items()) {
        const JsonFields each(affixes, fmt::format("{}: roles: {}", name, role));
        out.roles[role] = {each.text("prefix"), each.text("suffix")};
    }
    TNL_CHECK(out.roles.contains("user") && out.roles.contains("assistant"),
              "{}: roles must have user and assistant", name);
    return out;
}

ChatTemplate ChatTemplate::load_or_plain(const std::string& file) {
    return file.empty() ? plain() : load(file);
}

const ChatTemplate::Affixes& ChatTemplate::affixes_of(const std::string& role) const {
    const auto affixes = roles.find(role);
    if (affixes != roles.end()) return affixes->second;
    throw UsageError(fmt::format("role is {}, wanted one of {}", role, role_names()));
}

std::string ChatTemplate::role_names() const {
    std::string names;
    for (const auto& [name, each] : roles) names += (names.empty() ? "" : ", ") + name;
    return names;
}

std::string ChatTemplate::render(const std::vector<ChatMessage>& messages) const {
    std::string out = begin;
    for (const ChatMessage& message : messages) {
        const Affixes& affixes = affixes_of(message.role);
        out += affixes.prefix + message.content + affixes.suffix;
    }
    return out + before_reply();
}

// The space before the reply's first word is the reply's, as it is part of the word's token.
std::string ChatTemplate::before_reply() const {
    std::string prefix = roles.at("assistant").prefix;
    while (prefix.ends_with(' ')) prefix.pop_back();
    return prefix;
}

ChatTemplate::Lesson ChatTemplate::lesson(const std::vector<ChatMessage>& messages) const {
    Lesson out{begin, {}};
    for (size_t i = 0; i < messages.size(); ++i) {
        const auto& [role, content] = messages[i];
        const Affixes& affixes = affixes_of(role);
        const bool reply = role == "assistant", last = i + 1 == messages.size();
        const size_t begin_reply = out.text.size() + before_reply().size();
        out.text += affixes.prefix + content;
        if (!reply || !last) out.text += affixes.suffix;
        if (reply) out.learned.push_back({begin_reply, out.text.size()});
    }
    return out;
}

} // namespace tnl
