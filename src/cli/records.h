// Options of commands that read texts and instructions.
#pragma once

#include "cli/cli.h"
#include "text/reader.h"

#include <string>

namespace tnl {

// --field, --records, --chat-template. A field that is given means texts, unless --records is too.
void add_records_options(CLI::App& command, ReaderOptions& reader, std::string& chat_template);

// What a JSONL record may be.
extern const char* const kRecordsHelp;

} // namespace tnl
