// Records of JSONL files: a plain text, or an instruction with the answer that is to be learned.
#pragma once

#include "text/chat_template.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tnl {

// What the records of a JSONL file are. automatic: each by its fields, an instruction where it has
// those of one, else a text.
enum class Records { automatic, text, instruct };
std::vector<std::pair<std::string_view, Records>> enum_names(Records);

struct DocumentText {
    std::string text;
    bool instruct = false;         // only `learned` is to be learned; else all of the text
    std::vector<TextSpan> learned; // increasing, none empty
    int64_t learned_bytes() const;
};

// One line of JSONL. Instructions are, in this order of precedence,
//   {"messages": [{"role": R, "content": C}, ...]}       the assistant's are learned; it ends them
//   {"prompt": P, "completion": C}                       P and C as they are, C is learned
//   {"instruction": I, "input": N or none, "output": O}  user: I, a blank line, N; assistant: O
// where roles become text by `format`. A text is the string `field`. Throws naming `place` (file
// and line), the field, and what would be right: also where what is to be learned is blank.
DocumentText parse_record(std::string_view line, const std::string& place, Records records,
                          const std::string& field, const ChatTemplate& format);

} // namespace tnl
