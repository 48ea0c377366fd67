#include "corpus/io/parquet.h"

#include "base/check.h"
#include "corpus/io/record.h"

#include <arrow/api.h>
#include <arrow/io/api.h>
#include <parquet/arrow/reader.h>

#include <cmath>
#include <type_traits>

namespace tnl::corpus {
namespace {

constexpr int64_t kRows = 1024; // of a batch
constexpr int64_t kBuffer = int64_t{1} << 20;

void check(const arrow::Status& status, const std::string& path) {
    if (!status.ok()) fail("{}: {}", path, status.ToString());
}
// The library's functions that once gave a status and a value behind a pointer give both now.
template <class T> T value_of(arrow::Result<T> result, const std::string& path) {
    check(result.status(), path);
    return std::move(result).ValueUnsafe();
}

class RowWriter {
  public:
    explicit RowWriter(std::string path) : path_(std::move(path)) {}

    void add(const arrow::RecordBatch& batch, int64_t row, std::string& out) const {
        out += '{';
        for (int i = 0; i < batch.num_columns(); ++i) {
            if (i > 0) out += ", ";
            append_json_string(out, batch.column_name(i));
            out += ": ";
            add(*batch.column(i), row, out);
        }
        out += "}\n";
    }

  private:
    template <class Array>
    void add_number(const arrow::Array& array, int64_t row, std::string& out) const {
        const auto value = static_cast<const Array&>(array).Value(row);
        if constexpr (std::is_floating_point_v<decltype(value)>)
            if (!std::isfinite(value)) {
                out += "null";
                return;
            }
        fmt::format_to(std::back_inserter(out), "{}", value);
    }
    template <class Array>
    void add_text(const arrow::Array& array, int64_t row, std::string& out) const {
        append_json_string(out, static_cast<const Array&>(array).GetView(row));
    }
    template <class List>
    void add_list(const arrow::Array& array, int64_t row, std::string& out) const {
        const auto& list = static_cast<const List&>(array);
        out += '[';
        for (int64_t i = 0; i < list.value_length(row); ++i) {
            if (i > 0) out += ", ";
            add(*list.values(), list.value_offset(row) + i, out);
        }
        out += ']';
    }
    void add_struct(const arrow::Array& array, int64_t row, std::string& out) const {
        const auto& fields = static_cast<const arrow::StructArray&>(array);
        out += '{';
        for (int i = 0; i < fields.num_fields(); ++i) {
            if (i > 0) out += ", ";
            append_json_string(out, fields.type()->field(i)->name());
            out += ": ";
            add(*fields.field(i), row, out);
        }
        out += '}';
    }
    void add(const arrow::Array& array, int64_t row, std::string& out) const {
        using arrow::Type;
        if (array.IsNull(row)) {
            out += "null";
            return;
        }
        switch (array.type_id()) {
        case Type::BOOL:
            out += static_cast<const arrow::BooleanArray&>(array).Value(row) ? "true" : "false";
            return;
        case Type::INT8:
            return add_number<arrow::Int8Array>(array, row, out);
        case Type::INT16:
            return add_number<arrow::Int16Array>(array, row, out);
        case Type::INT32:
            return add_number<arrow::Int32Array>(array, row, out);
        case Type::INT64:
            return add_number<arrow::Int64Array>(array, row, out);
        case Type::UINT8:
            return add_number<arrow::UInt8Array>(array, row, out);
        case Type::UINT16:
            return add_number<arrow::UInt16Array>(array, row, out);
        case Type::UINT32:
            return add_number<arrow::UInt32Array>(array, row, out);
        case Type::UINT64:
            return add_number<arrow::UInt64Array>(array, row, out);
        case Type::FLOAT:
            return add_number<arrow::FloatArray>(array, row, out);
        case Type::DOUBLE:
            return add_number<arrow::DoubleArray>(array, row, out);
        case Type::STRING:
            return add_text<arrow::StringArray>(array, row, out);
        case Type::LARGE_STRING:
            return add_text<arrow::LargeStringArray>(array, row, out);
        case Type::BINARY:
            return add_text<arrow::BinaryArray>(array, row, out);
        case Type::LARGE_BINARY:
            return add_text<arrow::LargeBinaryArray>(array, row, out);
        case Type::LIST:
            return add_list<arrow::ListArray>(array, row, out);
        case Type::LARGE_LIST:
            return add_list<arrow::LargeListArray>(array, row, out);
        case Type::STRUCT:
            return add_struct(array, row, out);
        case Type::DICTIONARY: {
            const auto& coded = static_cast<const arrow::DictionaryArray&>(array);
            return add(*coded.dictionary(), coded.GetValueIndex(row), out);
        }
        default:
            append_json_string(out, value_of(array.GetScalar(row), path_)->ToString());
        }
    }
    std::string path_;
};

class ParquetStream final : public ByteStream {
  public:
    explicit ParquetStream(const std::filesystem::path& path) : path_(path.string()), rows_(path_) {
        auto file = value_of(arrow::io::ReadableFile::Open(path_), path_);
        parquet::ReaderProperties properties(arrow::default_memory_pool());
        properties.enable_buffered_stream();
        properties.set_buffer_size(kBuffer);
        parquet::ArrowReaderProperties columns(/*use_threads=*/false);
        columns.set_batch_size(kRows);
        columns.set_pre_buffer(false);
        parquet::arrow::FileReaderBuilder builder;
        check(builder.Open(std::move(file), properties), path_);
        builder.memory_pool(arrow::default_memory_pool())->properties(columns);
        check(builder.Build(&reader_), path_);
        batches_ = value_of(reader_->GetRecordBatchReader(), path_);
    }
    size_t read(char* to, size_t bytes) override {
        while (at_ == lines_.size()) {
            std::shared_ptr<arrow::RecordBatch> batch;
            check(batches_->ReadNext(&batch), path_);
            if (!batch) return 0;
            lines_.clear();
            at_ = 0;
            for (int64_t row = 0; row < batch->num_rows(); ++row) rows_.add(*batch, row, lines_);
        }
        const size_t count = std::min(bytes, lines_.size() - at_);
        lines_.copy(to, count, at_);
        at_ += count;
        return count;
    }

  private:
    std::string path_;
    RowWriter rows_;
    std::unique_ptr<parquet::arrow::FileReader> reader_;
    std::unique_ptr<arrow::RecordBatchReader> batches_;
    std::string lines_;
    size_t at_ = 0;
};

} // namespace

bool has_parquet() { return true; }

std::unique_ptr<ByteStream> open_parquet(const std::filesystem::path& path) {
    try {
        return std::make_unique<ParquetStream>(path);
    } catch (const parquet::ParquetException& error) {
        fail("{}: {}", path.string(), error.what());
    }
}

} // namespace tnl::corpus
