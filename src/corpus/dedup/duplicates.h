// Documents that agree in a whole band, from the sorted signatures of all files: datatrove's .dups,
// a record of four 32-bit numbers (file, document, file, document) for each two neighbours in the
// order (signature, file, document) whose signatures are equal.
#pragma once

#include "corpus/dedup/signatures.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

namespace tnl::corpus {

constexpr uint32_t kIndexed = UINT32_MAX; // file and document of what an earlier corpus had

struct Edge {
    uint32_t file1, document1, file2, document2;
};

struct SignatureFile {
    std::filesystem::path path;
    uint32_t file; // its number
};

// One band, or the part of it whose first keys are in [least, most).
struct BandTask {
    Bands bands;
    std::vector<SignatureFile> files; // by number
    // Signatures of earlier corpora (.index: sorted records without document), of the same band.
    std::vector<std::filesystem::path> indexes;
    bool only_indexed = true; // where there are indexes: documents that agree with those alone
    uint64_t least = 0, most = UINT64_MAX;
    size_t memory = size_t{1} << 30;
    std::filesystem::path duplicates; // is written
    // If not empty, is written: the signatures that no index has, each once.
    std::filesystem::path index;
};
struct BandCounts {
    uint64_t records = 0, edges = 0, indexed = 0;
};
BandCounts find_duplicates(const BandTask& task);

// Keys that cut the first keys of a band into parts of about equal numbers of records, a function
// of the files alone. First keys are least values of many hashes, so that they crowd near zero, and
// how depends on the lengths of documents: equal parts of their range would not do. parts + 1
// numbers, from 0 to UINT64_MAX.
std::vector<uint64_t> split_keys(const std::vector<SignatureFile>& files, const Bands& bands,
                                 int parts);

} // namespace tnl::corpus
