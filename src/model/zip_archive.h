// The entries of a zip archive whose contents are stored as they are, zip64 included: as PyTorch
// writes its files. Compressed or encrypted entries, several disks, and entries that overlap are
// refused, naming file and entry. Checksums are not read: they would take a pass over all data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tnl {

struct ZipEntry {
    std::string name;
    uint64_t begin = 0, end = 0; // of the content within the file
};

bool is_zip(std::span<const std::byte> file); // begins as one

// Checks and reads the directory of a whole file in memory; the entries, in its order. `name`
// stands for the file in errors.
std::vector<ZipEntry> parse_zip(std::span<const std::byte> file, const std::string& name);

} // namespace tnl
