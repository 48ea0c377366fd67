// Documents or paragraphs most of whose n-grams of words are in earlier ones, by Bloom filters (as
// Dolma's deduper and datatrove's SingleBloomFilter; Soldaini et al. 2024, arXiv 2402.00159). In
// four stages:
//   keys        of every file and part of the hashes' range: keys/FFFFF.PP.grams, for each piece of
//               text the number of its n-grams of this part (32 bits) and their hashes (xxh64, 64
//               bits), in the order of the file; and keys/FFFFF.pieces, for each its document, its
//               place there, and all its n-grams (32 bits each)
//   duplicates  of every part: duplicates/PP.seen, for each piece of all files, in order, how many
//               of its n-grams of this part were in a piece before (32 bits)
//   clusters    remove/FFFFFF.remove or .pieces: those of which more than `share` were
//   filter      as of pieces (pieces_job.h)
// A part has a filter of its own and sees all pieces in the order of files and documents: what
// comes out depends on the inputs and the options alone.
#pragma once

#include "corpus/dedup/job.h"
#include "corpus/dedup/shingles.h"

namespace tnl::corpus {

enum class NgramScope { document, paragraph };
std::vector<std::pair<std::string_view, NgramScope>> enum_names(NgramScope);

struct NgramOptions {
    NgramOptions() { shingles.words = 13; }
    ShingleOptions shingles;
    NgramScope scope = NgramScope::document;
    double share = 0.8;
    uint64_t filter_bytes = uint64_t{128} << 20; // of all parts together
    int parts = 8;
};

// The job must outlive what is made. Throws UsageError where the filters do not fit into its
// memory.
std::vector<StageMaker> ngram_stages(const DedupJob& job, const NgramOptions& options);

} // namespace tnl::corpus
