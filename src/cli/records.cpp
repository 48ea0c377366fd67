#include "cli/records.h"

namespace tnl {

const char* const kRecordsHelp =
    "A JSONL record is a text, {\"text\": ...}, or an instruction, of which only the answer "
    "counts:\n"
    "  {\"messages\": [{\"role\": \"user\", \"content\": ...}, {\"role\": \"assistant\", "
    "\"content\": ...}]}\n"
    "  {\"prompt\": ..., \"completion\": ...}\n"
    "  {\"instruction\": ..., \"input\": ..., \"output\": ...}\n"
    "Roles become text as \"serve\" does it (--chat-template); prompts are taken as they are.";

void add_records_options(CLI::App& command, ReaderOptions& reader, std::string& chat_template) {
    CLI::Option* records = add_choice(command, "--records", reader.records,
                                      "What JSONL records are; auto: each by its fields");
    command
        .add_option("--field", reader.field,
                    "Field of a JSONL record that holds the text; means "
                    "--records text")
        ->each([&reader, records](const std::string&) {
            if (records->count() == 0) reader.records = Records::text;
        });
    command.add_option("--chat-template", chat_template,
                       "JSON file of the text around messages, as for serve; default: "
                       "\"User: ...\" and \"Assistant: ...\"");
}

} // namespace tnl
