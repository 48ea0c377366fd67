// One file through the filters, by several threads: the records that are kept, and why the others
// are not.
#pragma once

#include "corpus/filter/dropped.h"
#include "corpus/io/record_parser.h"
#include "corpus/rules/filter_chain.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>

namespace tnl::corpus {

struct FilterOptions {
    RecordOptions records;
    Dropped dropped = Dropped::reasons;
    int level = 3; // of zstd
    // What a thread remembers of words; it does not change what comes out.
    size_t lexicon_bytes = size_t{64} << 20;
};

struct DocumentCount {
    int64_t documents = 0, bytes = 0; // of texts, as they were read
    void add(size_t text_bytes) {
        ++documents;
        bytes += static_cast<int64_t>(text_bytes);
    }
    DocumentCount& operator+=(const DocumentCount& more) {
        documents += more.documents;
        bytes += more.bytes;
        return *this;
    }
};

struct FilterStats {
    DocumentCount read, kept;
    int64_t kept_bytes = 0; // of the texts that were written
    int64_t rewritten = 0;  // of the documents kept
    RecordCounts records;
    std::map<std::pair<std::string, std::string>, DocumentCount> dropped; // by step and rule
    FilterStats& operator+=(const FilterStats& more);
};

// Writes `kept` (.jsonl.zst: the records, with the texts that the steps left) and, unless
// options.dropped is none, `dropped` (.jsonl.zst), a line for each document that is not kept
// (dropped.h). The bytes of both depend on the file, the plan and the options alone. progress(bytes
// of text) is called by any thread. Throws naming file and line; then neither file appears.
FilterStats filter_file(const std::filesystem::path& input, const FilterPlan& plan,
                        const FilterOptions& options, int threads,
                        const std::filesystem::path& kept, const std::filesystem::path& dropped,
                        const std::function<void(int64_t)>& progress = {});

} // namespace tnl::corpus
