// How the messages of a chat become one text that the model continues: the same in serving, which
// wants the text before a reply, and in training, which learns the replies.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace tnl {

struct ChatMessage {
    std::string role, content;
};

// Bytes [begin, end) of a text.
struct TextSpan {
    size_t begin = 0, end = 0;
    friend bool operator==(const TextSpan&, const TextSpan&) = default;
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
    // load, or plain where `file` is empty.
    static ChatTemplate load_or_plain(const std::string& file);

    // The text up to where the reply begins. Throws UsageError for a role without affixes.
    std::string render(const std::vector<ChatMessage>& messages) const;

    // A chat that ends with a reply, as training reads it: what the assistant says is to be
    // learned, from where render ends, with the suffix that ends it; the last reply ends with the
    // document instead.
    struct Lesson {
        std::string text;
        std::vector<TextSpan> learned; // increasing
    };
    Lesson lesson(const std::vector<ChatMessage>& messages) const;

    std::string role_names() const; // "assistant, system, user"

  private:
    std::string before_reply() const;
    const Affixes& affixes_of(const std::string& role) const;
};

} // namespace tnl
