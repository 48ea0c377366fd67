#include "tensor/dtype.h"

namespace tnl {

std::string_view name_of(DType dtype) {
    switch (dtype) {
    case DType::f64:
        return "f64";
    case DType::f32:
        return "f32";
    case DType::bf16:
        return "bf16";
    case DType::f16:
        return "f16";
    case DType::i64:
        return "i64";
    case DType::i32:
        return "i32";
    case DType::u16:
        return "u16";
    case DType::u8:
        return "u8";
    }
    return "?";
}

DType dtype_from_name(std::string_view name) {
    if (name == "f64" || name == "float64" || name == "double") return DType::f64;
    if (name == "f32" || name == "fp32" || name == "float32" || name == "float") return DType::f32;
    if (name == "bf16" || name == "bfloat16") return DType::bf16;
    if (name == "f16" || name == "fp16" || name == "float16" || name == "half") return DType::f16;
    throw UsageError(fmt::format("unknown dtype '{}', wanted f64, f32, bf16 or f16", name));
}

} // namespace tnl
