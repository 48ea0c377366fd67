#include "serve/chat_template.h"

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

std::string ChatTemplate::render(const std::vector<ChatMessage>& messages) const {
    std::string out = begin;
    for (const ChatMessage& message : messages) {
        const auto affixes = roles.find(message.role);
        if (affixes == roles.end()) {
            std::string known;
            for (const auto& [role, each] : roles) known += (known.empty() ? "" : ", ") + role;
            throw UsageError(fmt::format("role is {}, wanted one of {}", message.role, known));
        }
        out += affixes->second.prefix + message.content + affixes->second.suffix;
    }
    // The space before the reply's first word is part of its first token.
    std::string prefix = roles.at("assistant").prefix;
    while (prefix.ends_with(' ')) prefix.pop_back();
    return out + prefix;
}

} // namespace tnl
