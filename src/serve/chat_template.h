// How the messages of a chat become one text that the model continues.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace tnl {

struct ChatMessage {
    std::string role, content;
};

// Every message is its role's prefix, content and suffix; the reply follows the assistant's prefix.
struct ChatTemplate {
    struct Affixes {
        std::string prefix, suffix;
    };
    std::string begin;                    // before the first message
    std::map<std::string, Affixes> roles; // "system", "user", "assistant"
    std::vector<std::string> stops;       // end the reply, beside the model's end of text

    // "User: ...", "Assistant: ...", a blank line after each; for models that have seen no other.
    static ChatTemplate plain();
    // {"begin": "", "stops": [], "roles": {"user": {"prefix": "", "suffix": ""}, ...}}
    // Throws Error naming the file and field.
    static ChatTemplate load(const std::filesystem::path& file);

    // The text up to where the reply begins. Throws UsageError for a role without affixes.
    std::string render(const std::vector<ChatMessage>& messages) const;
};

} // namespace tnl
