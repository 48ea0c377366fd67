// Builds without Apache Arrow.
#include "base/check.h"
#include "corpus/io/parquet.h"

namespace tnl::corpus {

bool has_parquet() { return false; }

std::unique_ptr<ByteStream> open_parquet(const std::filesystem::path& path) {
    fail("{}: this program was built without Apache Arrow, which reads Parquet; wanted a build "
         "where "
         "CMake finds Parquet (libparquet-dev of apache.org's packages, or -DTNL_PYARROW=FOLDER of "
         "Python's pyarrow), or JSONL",
         path.string());
}

} // namespace tnl::corpus
