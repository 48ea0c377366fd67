#include "text/record.h"

#include "base/check.h"
#include "base/json.h"

namespace tnl {
namespace {

bool is_blank(const std::string& text) {
    return text.find_first_not_of(" \t\r\n") == std::string::npos;
}

// The fields of one record, or of one of its messages.
class Fields {
  public:
    Fields(const Json& json, std::string place) : json_(json), place_(std::move(place)) {
        if (!json.is_object()) fail("{}: a JSON {}, wanted an object", place_, json.type_name());
    }
    bool has(const char* field) const { return json_.contains(field); }
    std::string text(const std::string& field) const {
        const auto found = json_.find(field);
        if (found == json_.end()) fail("{}: the record has no field '{}'", place_, field);
        if (!found->is_string())
            fail("{}: field '{}' is a {}, wanted a string", place_, field, found->type_name());
        return found->get<std::string>();
    }
    // What is to be learned.
    std::string answer(const char* field) const {
        std::string out = text(field);
        if (is_blank(out))
            fail("{}: field '{}' is {}, wanted the text that is to be learned", place_, field,
                 json_excerpt(json_.at(field)));
        return out;
    }
    const Json& at(const char* field) const { return json_.at(field); }
    const std::string& place() const { return place_; }

  private:
    const Json& json_;
    std::string place_;
};

DocumentText lesson_of(const std::vector<ChatMessage>& messages, const ChatTemplate& format) {
    ChatTemplate::Lesson lesson = format.lesson(messages);
    return {std::move(lesson.text), true, std::move(lesson.learned)};
}

DocumentText from_messages(const Fields& record, const ChatTemplate& format) {
    const Json& list = record.at("messages");
    if (!list.is_array() || list.empty())
        fail("{}: field 'messages' is {}, wanted a list of {{\"role\": ..., \"content\": ...}}",
             record.place(), json_excerpt(list));
    std::vector<ChatMessage> messages;
    for (size_t i = 0; i < list.size(); ++i) {
        const Fields message(list[i], fmt::format("{}: messages[{}]", record.place(), i));
        std::string role = message.text("role");
        if (!format.roles.contains(role))
            fail("{}: field 'role' is \"{}\", wanted one of {}", message.place(), role,
                 format.role_names());
        std::string content =
            role == "assistant" ? message.answer("content") : message.text("content");
        messages.push_back({std::move(role), std::move(content)});
    }
    if (messages.back().role != "assistant")
        fail("{}: field 'messages' ends with role \"{}\", wanted the assistant's reply, which is "
             "to be learned",
             record.place(), messages.back().role);
    return lesson_of(messages, format);
}

DocumentText from_prompt(const Fields& record) {
    DocumentText out{record.text("prompt"), true, {}};
    const size_t begin = out.text.size();
    out.text += record.answer("completion");
    out.learned.push_back({begin, out.text.size()});
    return out;
}

DocumentText from_instruction(const Fields& record, const ChatTemplate& format) {
    std::string user = record.text("instruction");
    if (record.has("input") && !record.at("input").is_null())
        if (const std::string input = record.text("input"); !is_blank(input))
            user += "\n\n" + input;
    return lesson_of({{"user", std::move(user)}, {"assistant", record.answer("output")}}, format);
}

} // namespace

std::vector<std::pair<std::string_view, Records>> enum_names(Records) {
    return {{"auto", Records::automatic}, {"text", Records::text}, {"instruct", Records::instruct}};
}

int64_t DocumentText::learned_bytes() const {
    if (!instruct) return std::ssize(text);
    int64_t bytes = 0;
    for (const TextSpan& span : learned) bytes += static_cast<int64_t>(span.end - span.begin);
    return bytes;
}

DocumentText parse_record(std::string_view line, const std::string& place, Records records,
                          const std::string& field, const ChatTemplate& format) {
    const Json json = parse_json(line, place, {.bytes = line.size()});
    const Fields record(json, place);
    if (records == Records::text) return {record.text(field), false, {}};
    if (record.has("messages")) return from_messages(record, format);
    if (record.has("prompt") && (record.has("completion") || !record.has(field.c_str())))
        return from_prompt(record);
    if (record.has("instruction") && (record.has("output") || !record.has(field.c_str())))
        return from_instruction(record, format);
    if (records == Records::automatic && record.has(field.c_str()))
        return {record.text(field), false, {}};
    fail("{}: the record has no field '{}', wanted {}'messages', or 'prompt' and 'completion', or "
         "'instruction' and 'output'",
         place, records == Records::automatic ? field : "messages",
         records == Records::automatic ? fmt::format("'{}', or ", field) : "");
}

} // namespace tnl
