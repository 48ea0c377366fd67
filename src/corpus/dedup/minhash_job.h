// Near-duplicates by MinHash, in datatrove's four stages:
//   signatures  of every file: signatures/bucket_BBB/FFFFF.minhash.sig      one unit a file
//   duplicates  of every band: duplicates/BBBBB_PP.dups                     one a band and part
//   clusters    remove/FFFFFF.remove, .clusters, .sizes                     one
//   filter      kept/<name>.jsonl.zst, dropped/<name>.jsonl.zst             one a file
#pragma once

#include "corpus/dedup/clusters.h"
#include "corpus/dedup/job.h"
#include "corpus/dedup/shingles.h"
#include "corpus/dedup/signatures.h"

namespace tnl::corpus {

// How numbers are made of shingles: as datatrove does (minhash.h), or by one hash of each
// (one_permutation.h).
enum class SignatureKind { minhash, one_permutation };
std::vector<std::pair<std::string_view, SignatureKind>> enum_names(SignatureKind);

struct MinHashOptions {
    ShingleOptions shingles;
    SignatureKind signature = SignatureKind::minhash;
    Bands bands;
    uint32_t seed = 1;
    int parts = 1; // of each band, for more tasks than bands
    // Earlier corpora: folders with bucket_BBB/*.minhash.index.
    std::vector<std::filesystem::path> indexes;
    bool only_indexed = false;
    std::string index_name; // not empty: index/bucket_BBB/<name>_PP.minhash.index is written
    Survivor survivor = Survivor::first;
    bool ids = false, sizes = false;
    bool ignore_indexed = false;
};

// The job must outlive what is made.
std::vector<StageMaker> minhash_stages(const DedupJob& job, const MinHashOptions& options);

} // namespace tnl::corpus
