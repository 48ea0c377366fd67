// Files of signatures, in datatrove's format: bucket_BBB/RRRRR.minhash.sig for band B of file R has
// a record for each document that has shingles, the band's rows as 64-bit numbers, then the
// document's index in its file, 32 bits; sorted.
#pragma once

#include "corpus/dedup/sorted_merge.h"

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace tnl::corpus {

struct Bands {
    int bands = 14, rows = 8;
    size_t hashes() const { return static_cast<size_t>(bands) * static_cast<size_t>(rows); }
    RecordLayout layout() const { return {rows, 1}; }
    RecordLayout index_layout() const { return {rows, 0}; }
    // What two documents whose shingles overlap by this Jaccard similarity are found with.
    double chance(double similarity) const;
};

std::filesystem::path signature_path(const std::filesystem::path& folder, int band, uint32_t file);

// The signatures of one file of documents.
class SignatureWriter {
  public:
    // Writes into folder/bucket_*/, which are made. Beyond `memory` bytes, sorted runs are written
    // beside the files and merged at the end.
    SignatureWriter(std::filesystem::path folder, uint32_t file, Bands bands, size_t memory);
    ~SignatureWriter(); // removes what was not committed
    SignatureWriter(const SignatureWriter&) = delete;
    SignatureWriter& operator=(const SignatureWriter&) = delete;

    // Documents in increasing order. signature: bands.hashes() numbers.
    void add(uint32_t document, std::span<const uint64_t> signature);
    // Every file of the bands, under its name; their paths.
    std::vector<std::filesystem::path> commit();
    uint64_t documents() const { return documents_; }

  private:
    void write_sorted(int band, const std::filesystem::path& path);
    void spill();
    std::filesystem::path run_path(int band, size_t run) const;

    std::filesystem::path folder_;
    uint32_t file_;
    Bands bands_;
    size_t most_, memory_, runs_ = 0;
    uint64_t documents_ = 0;
    std::vector<std::vector<uint64_t>> keys_; // of each band, rows numbers a document
    std::vector<uint32_t> ids_;
};

} // namespace tnl::corpus
