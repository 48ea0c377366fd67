// Parquet files (Apache Arrow's C++ library) as lines of JSONL, one for each row: an object with
// the columns' names and values. Without the library there is none, and open_parquet says so.
#pragma once

#include "text/byte_stream.h"

#include <filesystem>
#include <memory>

namespace tnl::corpus {

bool is_parquet(const std::filesystem::path& path); // by its name

// Rows are read in batches, columns in pieces of a megabyte. Numbers, strings, true, false, null,
// lists and structures become JSON's; NaN and infinities null; times, decimals and the like text.
// Throws naming the file, or, where the program was built without Arrow, what is to be installed.
std::unique_ptr<ByteStream> open_parquet(const std::filesystem::path& path);
bool has_parquet();

} // namespace tnl::corpus
