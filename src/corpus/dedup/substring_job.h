// Substrings of at least `length` bytes that are there twice (windows.h), in six stages:
//   anchors     of every file: anchors/FFFFF.anchors, records (hash, document, place), sorted
//   candidates  of every part of the hashes' range: candidates/PP.candidates, records (file,
//               document, place) of the anchors whose hash is there twice, sorted
//   windows     of every file: windows/FFFFF.windows, records (hash of 122 bits, document, place)
//               of the windows around these, sorted
//   duplicates  of every part: duplicates/PP.pieces, windows that go; clusters, filter: as of
//               pieces (pieces_job.h); bytes go that lie in a window which was there before
// What is kept of a character at an end of what goes is not cut in two: it stays.
#pragma once

#include "corpus/dedup/gone.h"

namespace tnl::corpus {

struct SubstringOptions {
    int64_t length = 100;
    Keep keep = Keep::first;
    int parts = 8;
};

// The job must outlive what is made.
std::vector<StageMaker> substring_stages(const DedupJob& job, const SubstringOptions& options);

} // namespace tnl::corpus
